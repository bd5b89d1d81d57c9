// The `prompt` of a row -> chat turns with image places.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/image_sources.h"
#include "sgrpo/core/json.h"
#include "sgrpo/types/prompt_record.h"

namespace sgrpo::data {

/// Chat turns, and what their image parts say of the pictures (one entry an image part).
struct ParsedPrompt {
  std::vector<Message> messages;
  std::vector<ImageEntry> images;
  std::optional<std::string> answer;  // the last turn's text if that is an assistant's: left out

  bool operator==(const ParsedPrompt&) const = default;
};

/// Parses a string (one user turn) or a list of messages, {"role", "content"} or {"from", "value"}.
/// `<image>` in a string marks the place of an image; in a text part it stays text until
/// place_marked_images. What would change the prompt and is not rendered (tool calls, reasoning) is
/// refused. Throws core::UserError with the bare reason.
ParsedPrompt parse_prompt(const core::Json& prompt, const std::string& column);

/// The text of an assistant message that is a completion: `<image>` in it is text. `index` counts
/// messages from 1. Throws core::UserError for anything else, about `what`.
std::string parse_answer(const core::Json& message, size_t index, const std::string& what);

/// Puts `count` image parts at the front of the first user turn.
void put_images_first(ParsedPrompt& prompt, size_t count);

/// How many `<image>` stand in text parts.
size_t count_marked_images(const ParsedPrompt& prompt);

/// Turns every `<image>` in a text part into an image part.
void place_marked_images(ParsedPrompt& prompt);

}  // namespace sgrpo::data
