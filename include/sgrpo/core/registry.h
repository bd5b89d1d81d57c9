// One registry template: name -> factory, filled by static objects before main starts.
#pragma once

#include <map>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::core {

/// Factories of one kind of extension. Factory is a function pointer type; Tag makes registries
/// distinct.
template <class Factory, class Tag>
class Registry {
 public:
  struct Entry {
    Factory factory;
    std::string where;  // file:line of the registration, named when two pieces claim one name
  };

  /// Adds a factory. Throws ContractError (program start) if the name is taken, naming both places.
  static bool add(const std::string& name,
                  Factory factory,
                  std::source_location location = std::source_location::current()) {
    const std::string where = str(location.file_name(), ":", location.line());
    auto [position, inserted] = entries().emplace(name, Entry{factory, where});
    if (!inserted) {
      throw ContractError(
          str("'", name, "' is registered twice: ", position->second.where, " and ", where));
    }
    return true;
  }

  /// The factory called `name`. Throws UserError that lists the known names and the nearest one.
  static Factory get(std::string_view kind, const std::string& name) {
    const auto found = entries().find(name);
    if (found == entries().end()) {
      throw UserError(str("unknown ",
                          kind,
                          " '",
                          name,
                          "'",
                          did_you_mean(name, names()),
                          "; known: ",
                          join(names(), ", ")));
    }
    return found->second.factory;
  }

  /// Whether `name` is registered.
  static bool contains(const std::string& name) { return entries().count(name) != 0; }

  /// Registered names, sorted.
  static std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries()) result.push_back(name);
    return result;
  }

 private:
  static std::map<std::string, Entry>& entries() {
    static std::map<std::string, Entry> map;
    return map;
  }
};

}  // namespace sgrpo::core
