// Words for JSON values in messages.
#pragma once

#include <algorithm>
#include <string>

#include "sgrpo/core/json.h"

namespace sgrpo::data {

/// "a list", "a string", "an object", "a number", "NaN", "true or false", "null".
inline std::string kind_of(const core::Json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  if (value.is_string()) return "a string";
  if (const auto text = core::number_text(value))
    return text->find_first_of("NI") == text->npos ? "a number" : *text;
  if (value.is_boolean()) return "true or false";
  return "null";
}

/// Whether the member says anything: null, false, empty texts, lists and objects, and objects of
/// nulls (as Arrow fills them) do not.
inline bool holds_something(const core::Json& object, const std::string& key) {
  const core::Json* value = core::find(object, key);
  if (value == nullptr || *value == false) return false;
  if (value->is_string()) return *value != "" && *value != "[]" && *value != "{}";
  if (value->is_object())
    return std::any_of(value->begin(), value->end(), [](const auto& v) { return !v.is_null(); });
  return !value->is_array() || !value->empty();
}

}  // namespace sgrpo::data
