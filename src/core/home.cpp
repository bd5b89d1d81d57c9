#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::core {
namespace {

/// The user's home folder, as a shell finds it: HOME, else the account's.
std::string own_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return home;
  const passwd* account = ::getpwuid(::getuid());
  if (account != nullptr && account->pw_dir != nullptr) return account->pw_dir;
  throw UserError(str("path ", printable(path), ": HOME is not set; write the whole path"));
}

/// Whether `text` reads as an environment variable's name.
bool is_variable(const std::string& text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) == 0 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isupper(c) != 0 || std::isdigit(c) != 0 || c == '_';
         });
}

}  // namespace

std::string expand_home(const std::string& path) {
  if (path.empty() || (path[0] != '~' && path[0] != '$')) return path;
  const size_t slash = std::min(path.find('/'), path.size());
  const std::string first = path.substr(0, slash), rest = path.substr(slash);
  if (first == "~" || first == "$HOME" || first == "${HOME}") return own_home(path) + rest;
  if (first[0] == '~') {
    const passwd* account = ::getpwnam(first.c_str() + 1);
    return account == nullptr ? path : account->pw_dir + rest;
  }
  const std::string name = first.substr(1);
  if (starts_with(name, "{") || is_variable(name) || std::getenv(name.c_str()) != nullptr) {
    throw UserError(str("path ",
                        printable(path),
                        ": only ~ and $HOME are expanded, not ",
                        printable(first),
                        "; write the whole path, or ./",
                        printable(first),
                        " for a file of that name"));
  }
  return path;
}

}  // namespace sgrpo::core
