// Words for JSON values in messages.
#pragma once

#include <string>

#include "sgrpo/core/json.h"

namespace sgrpo::data {

/// "a list", "a string", "an object", "a number", "true or false", "null".
inline std::string kind_of(const core::Json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  if (value.is_string()) return "a string";
  if (value.is_number()) return "a number";
  if (value.is_boolean()) return "true or false";
  return "null";
}

}  // namespace sgrpo::data
