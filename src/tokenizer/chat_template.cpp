#include "sgrpo/tokenizer/chat_template.h"

#include <algorithm>
#include <regex>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "template_checks.h"
#include "template_files.h"
#include "template_tree.h"
#include "template_walk.h"

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

std::string chatml_turn(const std::string& role, const std::string& content) {
  return core::str(kStart, role, '\n', content, kEnd);
}

/// What a prompt may hold, each in the three roles: a string, and a list with an image inside.
std::vector<TurnView> turn_shapes(bool has_images) {
  const auto text = [](const char* words) {
    return ContentPart{.kind = ContentPart::Kind::kText, .text = words};
  };
  std::vector<TurnView> shapes;
  for (const char* role : {"user", "system", "assistant"}) {
    shapes.push_back({.message = {role, {text("(content)")}}});
    shapes.push_back({.message = {role, {text("(text)"), text("(more)")}}, .is_string = false});
    if (!has_images) continue;
    shapes.push_back(shapes.back());
    auto& parts = shapes.back().message.content;
    parts.insert(parts.begin() + 1, {.kind = ContentPart::Kind::kImage, .text = {}});
  }
  return shapes;
}

[[noreturn]] void refuse_difference(const std::string& where,
                                    const std::string& role,
                                    const std::string& written,
                                    const std::string& expected) {
  refuse_template(where,
                  core::str("writes '",
                            core::printable(written, 400),
                            "' for a conversation of one ",
                            role,
                            " turn, or a part of it, expected '",
                            core::printable(expected, 400),
                            "': only plain ChatML is rendered; put such text into the rows"));
}

/// Whether assistant turns are written as Qwen3's template does: thoughts of turns before the last
/// question are dropped, later ones are written out.
bool is_qwen3_thinking(const std::string& text, const std::string& where) {
  const std::string thoughts =
      "set reasoning_content=content.split('</think>')[0].rstrip('\\n').split('<think>')[-1]."
      "lstrip('\\n');";
  const std::string answer = "set content=content.split('</think>')[-1].lstrip('\\n');";
  const std::string kept = "{{'<|im_start|>'+message.role+'\\n'+content}}";
  const std::string rest =
      "}if loop.index0>ns.last_query_index{if loop.lastor(notloop.lastandreasoning_content){"
      "{{'<|im_start|>'+message.role+'\\n<think>\\n'+reasoning_content.strip('\\n')+'\\n</think>"
      "\\n\\n'+content.lstrip('\\n')}}}else {" +
      kept + "}}else {" + kept + "}{{'<|im_end|>\\n'}}";
  const std::string begin = "set reasoning_content='';if '</think>'incontent{";
  const std::string found = statements_of_assistant(parse_template(text, where));
  return found == begin + thoughts + answer + rest || found == begin + answer + thoughts + rest;
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
  static const std::regex kReadsThoughts(
      R"(['"]</think>['"]\)? {1,4}in {1,4}[a-z_.]{0,40}content)");
  result.strips_thinking_ = std::regex_search(text, kReadsThoughts);
  // Bounded repetitions: see template_checks.cpp.
  static const std::regex kLoop(
      R"(for \w{1,32} in \w{1,32}(\.content|\[['"]content['"]\]) {0,4}-?%)");
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
  result.thinks_as_qwen3_ = !result.strips_thinking_ || is_qwen3_thinking(text, where);
  result.compare_with(text);
  return result;
}

/// Every shape of a turn, as the first and as a later one, must be what render makes of it.
void ChatTemplate::compare_with(const std::string& text) const {
  const std::vector<TemplateNode> tree = parse_template(text, where_);
  for (const TurnView& turn : turn_shapes(content_ != Content::kTexts)) {
    const Message& message = turn.message;
    if (strips_thinking_ && message.role == "assistant") continue;
    try {
      check(message, 0);
    } catch (const core::UserError&) {
      continue;  // render refuses it
    }
    const auto expect = [&](const std::vector<std::string>& written, const std::string& expected) {
      for (const std::string& one : written)
        if (one != expected) refuse_difference(where_, message.role, one, expected);
    };
    TurnView first = turn;
    expect(texts_of_conversation(tree, first, where_), render({message}, false));
    first.asks_answer = true;
    expect(texts_of_conversation(tree, first, where_), render({message}, true));
    TurnView later = turn;
    later.is_first = false;
    const bool is_left_out = content_ == Content::kUserImages && message.role == "system";
    expect(texts_of_turn(tree, later, where_),
           is_left_out ? "" : chatml_turn(message.role, content_of(message, 1)));
  }
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
  if (message.role == "assistant" && !thinks_as_qwen3_)
    fail("the template treats the thoughts of assistant turns otherwise than Qwen3's");
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
  if (default_system_ && (always_writes_default_ || messages[0].role != "system"))
    text += chatml_turn("system", *default_system_);
  const size_t query = last_query(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    std::string content = content_of(message, i);
    if (content_ == Content::kUserImages && message.role == "system" && i > 0) continue;
    if (strips_thinking_ && message.role == "assistant") {
      content = thinking_turn(content, i > query, i + 1 == messages.size());
    }
    text += chatml_turn(message.role, content);
  }
  return add_generation_prompt ? text + generation_prompt_ : text;
}

}  // namespace sgrpo::tokenizer
