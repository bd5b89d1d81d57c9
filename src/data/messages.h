// The `prompt` of a row -> chat turns with image places.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/types/prompt_record.h"

namespace sgrpo::data {

/// Chat turns, and the paths that image parts named themselves (one entry per image part).
struct ParsedPrompt {
  std::vector<Message> messages;
  std::vector<std::optional<std::string>> part_paths;
};

/// Parses a string (one user turn) or a list of messages. `<image>` in a string marks the place of
/// an image; in a text part it is text. Throws core::UserError with the bare reason.
ParsedPrompt parse_prompt(const core::Json& prompt, const std::string& column);

/// Puts `count` image parts at the front of the first user turn.
void put_images_first(ParsedPrompt& prompt, size_t count);

}  // namespace sgrpo::data
