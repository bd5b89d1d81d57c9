#include "telemetry/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace sgrpo::telemetry {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

/// One write call a message: lines of several processes on one terminal stay whole.
void write_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return;  // nobody listens any more; that must not end a run
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

}  // namespace

Console& Console::instance() {
  static Console console;
  return console;
}

bool Console::is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

bool Console::has_colour() {
  const char* off = std::getenv("NO_COLOR");
  return is_terminal() && (off == nullptr || *off == '\0');
}

bool Console::has_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string lower(value);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower.find("utf-8") != std::string::npos || lower.find("utf8") != std::string::npos;
  }
  return false;
}

size_t Console::width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const long wanted = columns == nullptr ? 0 : std::strtol(columns, nullptr, 10);
  return wanted >= 20 && wanted <= 1000 ? static_cast<size_t>(wanted) : 120;
}

void Console::print(const std::string& text) {
  const std::lock_guard lock(mutex_);
  print_locked(text);
}

bool Console::print_if_innermost(const void* owner, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (owners_.empty() || owners_.back() != owner) return false;
  print_locked(text);
  return true;
}

void Console::print_locked(const std::string& text) {
  if (status_.empty()) {
    write_stderr(text + "\n");
  } else {
    write_stderr(std::string(kEraseLine) + text + "\n" + status_);
  }
}

void Console::push(const void* owner) {
  const std::lock_guard lock(mutex_);
  owners_.push_back(owner);
}

void Console::pop(const void* owner, const std::string& last) {
  const std::lock_guard lock(mutex_);
  owners_.erase(std::remove(owners_.begin(), owners_.end(), owner), owners_.end());
  write_stderr(std::string(status_.empty() ? "" : kEraseLine) + last + "\n");
  status_.clear();
}

void Console::show(const void* owner, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (owners_.empty() || owners_.back() != owner) return;
  status_ = text;
  write_stderr(std::string(kEraseLine) + text);
}

}  // namespace sgrpo::telemetry
