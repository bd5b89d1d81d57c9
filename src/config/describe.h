// Words about a field: its type and its range.
#pragma once

#include <string>

#include "sgrpo/config/binder.h"

namespace sgrpo::config {

/// "integer", "number or null", "list of texts", ...
std::string type_name(const Field& field);

/// "1..65536", ">= 0", "a | b", or "" where anything goes.
std::string range_text(const FieldInfo& info);

/// The member's value as one line of flow YAML.
std::string value_text(const Field& field);

}  // namespace sgrpo::config
