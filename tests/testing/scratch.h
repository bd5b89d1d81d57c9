// A folder of its own for every test, messages of errors, and the log of a test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"

namespace sgrpo::testing {

/// A fresh folder that disappears with the object.
class Scratch {
 public:
  Scratch() {
    static int counter = 0;
    path_ = std::filesystem::temp_directory_path() /
            core::str("sgrpo-test-", ::getpid(), "-", counter++);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes a file beneath the folder and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    core::write_file_atomic(path_ / name, bytes);
    return (path_ / name).string();
  }
  /// The text without the folder's own path.
  std::string shorten(std::string text) const {
    const std::string prefix = path_.string() + "/";
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at))
      text.erase(at, prefix.size());
    return text;
  }

 private:
  std::filesystem::path path_;
};

/// Collects log messages while it lives.
class LogCapture {
 public:
  LogCapture() {
    core::set_log_sink([this](core::LogLevel, const std::string& message) {
      const std::lock_guard lock(mutex_);
      all_ += message + "\n";
    });
  }
  ~LogCapture() { core::set_log_sink({}); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  std::string text() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::string all_;
};

/// The message of the Error that `action` throws; "" and a failure if it throws none.
template <class Error = core::UserError>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// The objects of a JSONL file.
inline std::vector<core::Json> read_jsonl(const std::filesystem::path& path) {
  std::vector<core::Json> rows;
  for (const std::string& line : core::split(core::read_file(path), '\n'))
    if (!line.empty()) rows.push_back(core::parse_json(line, path.string()));
  return rows;
}

/// Lines of a JSONL file.
inline std::string to_jsonl(const std::vector<core::Json>& rows) {
  std::string text;
  for (const core::Json& row : rows) text += core::dump_ascii(row) + "\n";
  return text;
}

}  // namespace sgrpo::testing
