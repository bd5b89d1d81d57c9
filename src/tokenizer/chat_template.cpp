#include "sgrpo/tokenizer/chat_template.h"

#include <algorithm>
#include <regex>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "template_checks.h"
#include "template_files.h"

namespace sgrpo::tokenizer {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>\n";
constexpr std::string_view kImage = "<|vision_start|><|image_pad|><|vision_end|>";

// Drops a line break, written out or as the two characters \n; false if there is none.
bool skip_newline(std::string_view& text) {
  const size_t size = core::starts_with(text, "\n") ? 1 : core::starts_with(text, "\\n") ? 2 : 0;
  text.remove_prefix(size);
  return size > 0;
}

std::string unescape_newlines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (skip_newline(text)) {
      result.push_back('\n');
    } else {
      result.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return result;
}

// The literal text of a default system turn. A template may write "system" turns in several
// branches; what follows the marker is a literal or an expression that reads messages[0].
std::optional<std::string> find_default_system(std::string_view text, const std::string& where) {
  constexpr std::string_view kMarker = "<|im_start|>system";
  std::optional<std::string> found;
  for (size_t at = text.find(kMarker); at != text.npos; at = text.find(kMarker, at + 1)) {
    std::string_view rest = text.substr(at + kMarker.size());
    if (!skip_newline(rest)) continue;
    const size_t end = rest.find("<|im_end|>");
    if (rest.empty() || end == rest.npos) continue;
    if (rest.front() == '\'' || rest.front() == '"' || rest.front() == '{') {
      const std::string_view turn = rest.substr(0, end);
      if (core::contains(turn, "system_message")) {
        refuse_template(where,
                        "builds its system turn from a variable, expected a literal default");
      }
      continue;
    }
    const std::string literal = unescape_newlines(rest.substr(0, end));
    if (literal.find_first_of("{}\\") != literal.npos || (found && *found != literal)) {
      refuse_template(where, "has a default system turn that is not one literal text");
    }
    found = literal;
  }
  return found;
}

// What follows the last `if add_generation_prompt`: "<|im_start|>assistant\n", and in a template
// for reasoning only "<think>\n" after it.
std::string find_generation_prompt(std::string_view text, const std::string& where) {
  const size_t condition = text.rfind("if add_generation_prompt");
  constexpr std::string_view kMarker = "<|im_start|>assistant";
  const size_t at = condition == text.npos ? text.npos : text.find(kMarker, condition);
  if (at == text.npos) {
    refuse_template(
        where,
        "has no generation prompt '<|im_start|>assistant' behind 'if add_generation_prompt', "
        "expected ChatML");
  }
  std::string_view rest = text.substr(at + kMarker.size());
  std::string prompt(kMarker);
  if (!skip_newline(rest))
    refuse_template(where, "has no line break after '<|im_start|>assistant'");
  return prompt + "\n" + unescape_newlines(rest.substr(0, rest.find_first_of("'\"{")));
}

std::string strip(const std::string& text, bool left, bool right) {
  const size_t first = left ? text.find_first_not_of('\n') : 0;
  if (first == text.npos) return "";
  const size_t last = right ? text.find_last_not_of('\n') : text.size() - 1;
  return last == text.npos ? "" : text.substr(first, last + 1 - first);
}

bool is_text(const Message& message) {
  return message.content.size() == 1 && message.content[0].kind == ContentPart::Kind::kText;
}

bool is_query(const Message& message) {
  if (message.role != "user" || !is_text(message)) return false;
  const std::string& text = message.content[0].text;
  constexpr std::string_view kClose = "</tool_response>";
  return !(core::starts_with(text, "<tool_response>") && text.size() >= kClose.size() &&
           text.compare(text.size() - kClose.size(), kClose.size(), kClose) == 0);
}

// Index of the last user turn that is a question: later assistant turns keep their reasoning.
size_t last_query(const std::vector<Message>& messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    if (is_query(messages[i])) return i;
  }
  return messages.size() - 1;
}

}  // namespace

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder) {
  if (const auto found = find_template(folder)) return from_text(found->text, found->where);
  core::warn(folder.string(),
             " has no chat template: prompts are written as plain ChatML, without a default "
             "system turn");
  ChatTemplate plain;
  plain.where_ = folder.string();
  return plain;
}

ChatTemplate ChatTemplate::from_text(const std::string& text, const std::string& where) {
  check_template(text, where);
  ChatTemplate result;
  result.where_ = where;
  result.default_system_ = find_default_system(text, where);
  static const std::regex kAsksForSystem(R"(messages\[0\]|[=!]= {0,4}['"]system['"])");
  result.always_writes_default_ = !std::regex_search(text, kAsksForSystem);
  result.generation_prompt_ = find_generation_prompt(text, where);
  result.strips_thinking_ = core::contains(text, "</think>') in content") ||
                            core::contains(text, "'</think>' in content") ||
                            core::contains(text, "\"</think>\" in content");
  // Bounded repetitions: see template_checks.cpp.
  static const std::regex kLoop(R"(in \w{1,32}(\.content|\[['"]content['"]\]) {0,4}-?%)");
  static const std::regex kUserBranch(R"(\w(\.role|\[['"]role['"]\]) {0,4}== {0,4}['"]user['"])");
  const bool loops = std::regex_search(text, kLoop);
  if (core::contains(text, "<|image_pad|>")) {
    const bool branches = std::regex_search(text, kUserBranch);
    result.content_ = branches ? Content::kUserImages : Content::kImages;
  } else if (loops) {
    result.content_ = Content::kTexts;
  } else {
    result.content_ =
        core::contains(text, "content is string") ? Content::kTextElse : Content::kTextOnly;
  }
  return result;
}

void ChatTemplate::check(const Message& message, size_t index) const {
  const auto fail = [&](std::string_view reason) {
    refuse_template(where_,
                    core::str("cannot render message ", index, " (", message.role, "): ", reason));
  };
  if (message.role != "system" && message.role != "user" && message.role != "assistant") {
    fail("expected role system, user or assistant");
  }
  const bool list = !is_text(message);
  const bool system_first = index == 0 && message.role == "system";
  if (list &&
      (content_ == Content::kTextOnly || (content_ == Content::kTextElse && system_first))) {
    fail("its content must be one text, without images");
  }
  const bool image =
      std::any_of(message.content.begin(), message.content.end(), [](const ContentPart& part) {
        return part.kind == ContentPart::Kind::kImage;
      });
  if (image && content_ == Content::kTexts) fail("it has no place for images");
  if (image && content_ == Content::kUserImages && message.role != "user") {
    fail("images must stand in user turns");
  }
  if (strips_thinking_ && content_ != Content::kTextElse && message.role == "assistant") {
    fail("assistant turns of this template need its thinking branch");
  }
}

std::string ChatTemplate::content_of(const Message& message, size_t index) const {
  check(message, index);
  if (content_ == Content::kTextElse && !is_text(message)) return "";
  std::string text;
  for (const ContentPart& part : message.content) {
    text += part.kind == ContentPart::Kind::kImage ? std::string(kImage) : part.text;
  }
  return text;
}

std::string ChatTemplate::thinking_turn(const std::string& content,
                                        bool after_query,
                                        bool last) const {
  constexpr std::string_view kOpen = "<think>";
  constexpr std::string_view kClose = "</think>";
  std::string reasoning;
  std::string answer = content;
  if (const size_t close = content.find(kClose); close != content.npos) {
    reasoning = strip(content.substr(0, close), false, true);
    if (const size_t open = reasoning.rfind(kOpen); open != reasoning.npos) {
      reasoning.erase(0, open + kOpen.size());
    }
    reasoning = strip(reasoning, true, false);
    answer = strip(content.substr(content.rfind(kClose) + kClose.size()), true, false);
  }
  if (!after_query || !(last || !reasoning.empty())) return answer;
  return core::str(
      "<think>\n", strip(reasoning, true, true), "\n</think>\n\n", strip(answer, true, false));
}

std::string ChatTemplate::render(const std::vector<Message>& messages,
                                 bool add_generation_prompt) const {
  if (messages.empty()) refuse_template(where_, "cannot render an empty conversation");
  std::string text;
  const auto turn = [&](const std::string& role, const std::string& content) {
    text += core::str(kStart, role, '\n', content, kEnd);
  };
  if (default_system_ && (always_writes_default_ || messages[0].role != "system"))
    turn("system", *default_system_);
  const size_t query = last_query(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    std::string content = content_of(message, i);
    if (content_ == Content::kUserImages && message.role == "system" && i > 0) continue;
    if (strips_thinking_ && message.role == "assistant") {
      content = thinking_turn(content, i > query, i + 1 == messages.size());
    }
    turn(message.role, content);
  }
  return add_generation_prompt ? text + generation_prompt_ : text;
}

}  // namespace sgrpo::tokenizer
