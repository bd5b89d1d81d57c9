// Finds the JSON in a completion.
#pragma once

#include <optional>
#include <string_view>

#include "sgrpo/core/json.h"

namespace sgrpo::verifier {

/// JSON and the bytes of the text that it is.
struct FoundJson {
  core::Json value;
  std::string_view text;  // a view into the searched text
};

/// The whole text, else the last fenced block (```json ... ```), else the first object or list in
/// running text that parses. Texts above 64 KiB are not parsed; duplicate keys are no JSON.
std::optional<FoundJson> find_json(std::string_view text);

}  // namespace sgrpo::verifier
