// The names of an enumeration, listed once beside it.
//
//   enum class Schedule { kConstant, kLinear };
//   constexpr auto names_of(Schedule) { return std::array{"constant", "linear"}; }
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sgrpo::core {

/// An enumeration with a function `names_of(E)` in its own namespace: an array of texts in the
/// order of the enumerators, which count from 0.
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E value) {
  names_of(value);
};

/// The name of a value.
template <NamedEnum E>
std::string name_of(E value) {
  return names_of(value).at(static_cast<size_t>(value));
}

/// All names, in the order of the enumerators.
template <NamedEnum E>
std::vector<std::string> all_names() {
  const auto names = names_of(E{});
  return {names.begin(), names.end()};
}

/// The value called `name`, if there is one.
template <NamedEnum E>
std::optional<E> from_name(std::string_view name) {
  const auto names = names_of(E{});
  for (size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace sgrpo::core
