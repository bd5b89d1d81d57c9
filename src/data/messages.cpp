#include "data/messages.h"

#include <algorithm>

#include "data/describe.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

using core::Json;
using core::str;
using core::UserError;

constexpr std::string_view kImageMarker = "<image>";

/// A placeholder in literal text would be taken for an image later: refuse it where it stands.
void check_text(const std::string& text) {
  for (const char* token : {"<|image_pad|>", "<|video_pad|>"}) {
    if (text.find(token) != std::string::npos) {
      throw UserError(str("the prompt's text contains the placeholder token ",
                          token,
                          "; write {\"type\": \"image\"} or <image> where an image goes"));
    }
  }
}

void add_text(std::string text, Message& message) {
  check_text(text);
  message.content.push_back({.kind = ContentPart::Kind::kText, .text = std::move(text)});
}

void add_image(std::optional<std::string> path, Message& message, ParsedPrompt& prompt) {
  message.content.push_back({.kind = ContentPart::Kind::kImage, .text = {}});
  prompt.part_paths.push_back(std::move(path));
}

/// "<image>\nWhat is this?" -> image, "\nWhat is this?"; an empty text stays one empty part.
void add_marked_text(const std::string& text, Message& message, ParsedPrompt& prompt) {
  size_t begin = 0;
  for (size_t at = text.find(kImageMarker); at != std::string::npos;
       at = text.find(kImageMarker, begin)) {
    if (at > begin) add_text(text.substr(begin, at - begin), message);
    add_image(std::nullopt, message, prompt);
    begin = at + kImageMarker.size();
  }
  if (begin < text.size() || text.empty()) add_text(text.substr(begin), message);
}

std::optional<std::string> path_in_part(const Json& part) {
  for (const char* key : {"image", "path"}) {
    const Json* value = core::find(part, key);
    if (value == nullptr) continue;
    if (!value->is_string())
      throw UserError(str("an image part's '", key, "' is ", kind_of(*value), ", expected a path"));
    return value->get<std::string>();
  }
  return std::nullopt;
}

void add_part(const Json& part, Message& message, ParsedPrompt& prompt) {
  const Json* type = core::find(part, "type");
  if (type == nullptr || !type->is_string()) {
    throw UserError(str("a content part is ",
                        part.is_object() ? "without 'type'" : kind_of(part),
                        ", expected {\"type\": \"text\", \"text\": ...} or {\"type\": \"image\"}"));
  }
  const std::string name = type->get<std::string>();
  if (name == "text") {
    const Json* text = core::find(part, "text");
    if (text == nullptr || !text->is_string())
      throw UserError(str("a text part's 'text' is ",
                          text == nullptr ? "missing" : kind_of(*text),
                          ", expected a string"));
    return add_text(text->get<std::string>(), message);
  }
  if (name == "image") return add_image(path_in_part(part), message, prompt);
  throw UserError(str("content part of type '",
                      core::printable(name),
                      "' is not supported, expected 'text' or 'image'",
                      name == "image_url" ? " (with the path under 'image' or in 'images')" : ""));
}

std::string read_role(const Json& json, size_t index) {
  const Json* role = core::find(json, "role");
  if (role == nullptr || !role->is_string())
    throw UserError(str("message ", index, " has no 'role' (system, user or assistant)"));
  const std::string name = role->get<std::string>();
  if (name == "system" || name == "user" || name == "assistant") return name;
  throw UserError(str("message ",
                      index,
                      " has role '",
                      core::printable(name),
                      "', expected system, user or assistant",
                      name == "tool" ? " (tool calls are not supported)" : ""));
}

void add_message(const Json& json, size_t index, ParsedPrompt& prompt) {
  if (!json.is_object()) {
    throw UserError(
        str("message ", index, " is ", kind_of(json), ", expected {\"role\", \"content\"}"));
  }
  Message message{.role = read_role(json, index), .content = {}};
  if (core::find(json, "tool_calls") != nullptr)
    throw UserError(str("message ", index, " has 'tool_calls', which are not supported"));
  const Json* content = core::find(json, "content");
  if (content != nullptr && content->is_string()) {
    add_marked_text(content->get<std::string>(), message, prompt);
  } else if (content != nullptr && content->is_array() && !content->empty()) {
    for (const Json& part : *content) add_part(part, message, prompt);
  } else {
    throw UserError(str("message ",
                        index,
                        ": 'content' is ",
                        content == nullptr    ? "missing"
                        : content->is_array() ? "an empty list"
                                              : kind_of(*content),
                        ", expected a string or a list of parts"));
  }
  prompt.messages.push_back(std::move(message));
}

}  // namespace

ParsedPrompt parse_prompt(const Json& prompt, const std::string& column) {
  ParsedPrompt result;
  if (prompt.is_string()) {
    const std::string text = prompt.get<std::string>();
    if (text.empty()) throw UserError(str("'", column, "' is empty"));
    result.messages.push_back({.role = "user", .content = {}});
    add_marked_text(text, result.messages.back(), result);
    return result;
  }
  if (!prompt.is_array())
    throw UserError(
        str("'", column, "' is ", kind_of(prompt), ", expected a string or a list of messages"));
  if (prompt.empty()) throw UserError(str("'", column, "' is an empty list of messages"));
  for (size_t i = 0; i < prompt.size(); ++i) add_message(prompt[i], i + 1, result);
  return result;
}

void put_images_first(ParsedPrompt& prompt, size_t count) {
  const auto user = std::find_if(prompt.messages.begin(),
                                 prompt.messages.end(),
                                 [](const Message& message) { return message.role == "user"; });
  if (user == prompt.messages.end())
    throw UserError("the row has images, but no user message that could take them");
  const ContentPart image{.kind = ContentPart::Kind::kImage, .text = {}};
  user->content.insert(user->content.begin(), count, image);
  prompt.part_paths.assign(count, std::nullopt);
}

}  // namespace sgrpo::data
