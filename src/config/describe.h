// Words about a field: its type and its range.
#pragma once

#include <string>

#include "sgrpo/config/binder.h"

namespace sgrpo::config {

/// What a field's member points at, for std::visit.
template <class T>
T& target(T* member) {
  return *member;
}
inline const NamedMember& target(const NamedMember& member) { return member; }

/// "integer", "number or null", "list of texts", ...
std::string type_name(const Field& field);

/// The texts that a field takes: names of an enumeration or of registered things, or the listed
/// choices; empty where anything goes.
std::vector<std::string> choices_of(const Field& field);

/// "0..1 | " or "a number | " in front of the choices of a field that takes both, else "".
std::string number_or(const Field& field);

/// "1..65536", ">= 0", "a | b", or "" where anything goes.
std::string range_text(const Field& field);

/// The member's value as one line of flow YAML.
std::string value_text(const Field& field);

}  // namespace sgrpo::config
