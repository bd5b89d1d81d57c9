#include "data/messages.h"

#include <algorithm>
#include <map>

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

/// "<image>\nWhat is this?" -> image, "\nWhat is this?"; an empty text stays one empty part.
std::vector<ContentPart> split_at_markers(const std::string& text) {
  std::vector<ContentPart> parts;
  const auto add = [&](std::string piece) {
    parts.push_back({.kind = ContentPart::Kind::kText, .text = std::move(piece)});
  };
  size_t begin = 0;
  for (size_t at = text.find(kImageMarker); at != std::string::npos;
       at = text.find(kImageMarker, begin)) {
    if (at > begin) add(text.substr(begin, at - begin));
    parts.push_back({.kind = ContentPart::Kind::kImage, .text = {}});
    begin = at + kImageMarker.size();
  }
  if (begin < text.size() || text.empty()) add(text.substr(begin));
  return parts;
}

void add_marked_text(const std::string& text, Message& message, ParsedPrompt& prompt) {
  for (ContentPart& part : split_at_markers(text)) {
    if (part.kind == ContentPart::Kind::kImage) prompt.images.emplace_back();
    check_text(part.text);
    message.content.push_back(std::move(part));
  }
}

const std::string& text_of(const Json& part) {
  const Json* text = core::find(part, "text");
  if (text == nullptr || !text->is_string())
    throw UserError(str("a text part's 'text' is ",
                        text == nullptr ? "missing" : kind_of(*text),
                        ", expected a string"));
  for (const char* key : kImageKeys) {
    if (core::find(part, key) != nullptr)
      throw UserError(str("a text part has '", key, "'; make the image a part of its own"));
  }
  return text->get_ref<const std::string&>();
}

/// "text", or "image" under one of its names.
std::string type_of(const Json& part) {
  const Json* type = core::find(part, "type");
  if (type == nullptr || !type->is_string()) {
    throw UserError(str("a content part is ",
                        part.is_object() ? "without 'type'" : kind_of(part),
                        ", expected {\"type\": \"text\", \"text\": ...} or {\"type\": \"image\"}"));
  }
  const std::string name = type->get<std::string>();
  if (name == "text" || name == "image") return name;
  if (name == "image_url") return "image";
  throw UserError(str("content part of type '",
                      core::printable(name),
                      "' is not supported, expected 'text' or 'image'"));
}

void add_part(const Json& part, Message& message, ParsedPrompt& prompt) {
  if (type_of(part) == "text") return add_text(text_of(part), message);
  message.content.push_back({.kind = ContentPart::Kind::kImage, .text = {}});
  prompt.images.push_back(read_image_entry(part, "an image part"));
}

/// The speaker of {"role"} or, in conversations, {"from"}.
std::string read_role(const Json& json, size_t index) {
  static const std::map<std::string, std::string, std::less<>> kRoles = {{"system", "system"},
                                                                         {"user", "user"},
                                                                         {"human", "user"},
                                                                         {"assistant", "assistant"},
                                                                         {"gpt", "assistant"}};
  const Json* role = core::find(json, "role");
  const bool is_from = role == nullptr && core::find(json, "from") != nullptr;
  if (is_from) role = core::find(json, "from");
  if (role == nullptr || !role->is_string())
    throw UserError(str("message ", index, " has no 'role' (system, user or assistant)"));
  const std::string name = role->get<std::string>();
  const auto known = kRoles.find(name);
  if (known != kRoles.end() && (is_from || known->first == known->second)) return known->second;
  const bool is_tool = name == "tool" || name == "function_call" || name == "observation";
  throw UserError(str("message ",
                      index,
                      is_from ? " is from '" : " has role '",
                      core::printable(name),
                      "', expected system, ",
                      is_from ? "human or gpt" : "user or assistant",
                      is_tool ? " (tool calls are not supported)" : ""));
}

/// What templates render beside the content: left out in silence it would change the prompt.
void check_nothing_beside_content(const Json& json, size_t index) {
  if (holds_something(json, "tool_calls"))
    throw UserError(str("message ", index, " has 'tool_calls', which are not supported"));
  if (holds_something(json, "reasoning_content"))
    throw UserError(str("message ",
                        index,
                        " has 'reasoning_content', which is not rendered; write it into 'content' "
                        "as <think>...</think>"));
}

/// `content`, or the `value` of conversations.
const Json& content_of(const Json& json, size_t index) {
  const bool is_value = core::find(json, "role") == nullptr;
  const char* key = is_value ? "value" : "content";
  const Json* content = core::find(json, key);
  if (content != nullptr && content->is_string()) return *content;
  if (content != nullptr && content->is_array() && !content->empty()) return *content;
  throw UserError(str("message ",
                      index,
                      ": '",
                      key,
                      "' is ",
                      content == nullptr    ? "missing"
                      : content->is_array() ? "an empty list"
                                            : kind_of(*content),
                      ", expected a string or a list of parts"));
}

/// The role of a message whose other members are in order, too.
std::string check_message(const Json& json, size_t index) {
  if (!json.is_object()) {
    throw UserError(
        str("message ", index, " is ", kind_of(json), ", expected {\"role\", \"content\"}"));
  }
  check_nothing_beside_content(json, index);
  return read_role(json, index);
}

void add_message(const Json& json, size_t index, ParsedPrompt& prompt) {
  Message message{.role = check_message(json, index), .content = {}};
  const Json& content = content_of(json, index);
  if (content.is_string()) {
    add_marked_text(content.get_ref<const std::string&>(), message, prompt);
  } else {
    for (const Json& part : content) add_part(part, message, prompt);
  }
  prompt.messages.push_back(std::move(message));
}

void add_messages(const Json& list, ParsedPrompt& prompt) {
  for (size_t i = 0; i < list.size(); ++i) {
    const bool is_last = i + 1 == list.size();
    if (is_last && check_message(list[i], i + 1) == "assistant") {
      prompt.answer = parse_answer(list[i], i + 1, "the last assistant turn");
    } else {
      add_message(list[i], i + 1, prompt);
    }
  }
  if (!prompt.answer) return;
  if (prompt.messages.empty()) throw UserError("the prompt has no turn before the assistant's");
  if (prompt.messages.back().role == "assistant")
    throw UserError("the prompt ends with two assistant turns; join them");
}

}  // namespace

ParsedPrompt parse_prompt(const Json& prompt, const std::string& column) {
  ParsedPrompt result;
  if (prompt.is_string()) {
    const auto& text = prompt.get_ref<const std::string&>();
    if (text.empty()) throw UserError(str("'", column, "' is empty"));
    result.messages.push_back({.role = "user", .content = {}});
    add_marked_text(text, result.messages.back(), result);
    return result;
  }
  if (!prompt.is_array())
    throw UserError(
        str("'", column, "' is ", kind_of(prompt), ", expected a string or a list of messages"));
  if (prompt.empty()) throw UserError(str("'", column, "' is an empty list of messages"));
  add_messages(prompt, result);
  return result;
}

std::string parse_answer(const Json& message, size_t index, const std::string& what) {
  if (check_message(message, index) != "assistant")
    throw UserError(str(what, " is a list, expected a string or one assistant message with text"));
  const Json& content = content_of(message, index);
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const Json& part : content) {
    if (type_of(part) != "text") throw UserError(str(what, " holds an image, expected text alone"));
    text += text_of(part);
  }
  return text;
}

void put_images_first(ParsedPrompt& prompt, size_t count) {
  const auto user = std::find_if(prompt.messages.begin(),
                                 prompt.messages.end(),
                                 [](const Message& message) { return message.role == "user"; });
  if (user == prompt.messages.end())
    throw UserError("the row has images, but no user message that could take them");
  const ContentPart image{.kind = ContentPart::Kind::kImage, .text = {}};
  user->content.insert(user->content.begin(), count, image);
  prompt.images.assign(count, {});
}

size_t count_marked_images(const ParsedPrompt& prompt) {
  size_t count = 0;
  for (const Message& message : prompt.messages) {
    for (const ContentPart& part : message.content) {
      for (size_t at = part.text.find(kImageMarker); at != std::string::npos;
           at = part.text.find(kImageMarker, at + 1))
        ++count;
    }
  }
  return count;
}

void place_marked_images(ParsedPrompt& prompt) {
  std::vector<ImageEntry> images;
  auto given = prompt.images.begin();
  for (Message& message : prompt.messages) {
    std::vector<ContentPart> parts;
    for (ContentPart& part : message.content) {
      if (part.kind == ContentPart::Kind::kImage) {
        images.push_back(*given++);
        parts.push_back(std::move(part));
        continue;
      }
      for (ContentPart& piece : split_at_markers(part.text)) {
        if (piece.kind == ContentPart::Kind::kImage) images.emplace_back();
        parts.push_back(std::move(piece));
      }
    }
    message.content = std::move(parts);
  }
  prompt.images = std::move(images);
}

}  // namespace sgrpo::data
