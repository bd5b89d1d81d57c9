// The name of a registered thing as an option: refused when it is read, not when it is used.
#pragma once

#include <ostream>
#include <string>
#include <utility>

namespace sgrpo::config {

/// A name out of `Registry` (core::Registry or anything with a static `names()`). The binder
/// refuses other names with the nearest one and lists the known ones in the help. Where a map of
/// the configuration adds names (FieldInfo::more_names) these are taken, too.
template <class Registry>
class Choice {
 public:
  Choice() = default;
  Choice(const char* name) : name_(name) {}             // NOLINT: an option's default is a literal
  Choice(std::string name) : name_(std::move(name)) {}  // NOLINT

  const std::string& name() const { return name_; }
  /// For Registry::get and messages.
  operator const std::string&() const { return name_; }  // NOLINT
  friend std::ostream& operator<<(std::ostream& out, const Choice& choice) {
    return out << choice.name_;
  }

 private:
  std::string name_;
};

}  // namespace sgrpo::config
