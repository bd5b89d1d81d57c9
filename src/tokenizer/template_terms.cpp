#include "template_terms.h"

#include <regex>

#include "sgrpo/core/text.h"

namespace sgrpo::tokenizer {
namespace {

constexpr size_t kMaxExpression = 2000;  // characters
constexpr int kMaxParentheses = 20;

/// Calls `use(offset)` for every offset outside of quotes and brackets.
template <class Use>
void for_each_top_level(std::string_view text, Use use) {
  char quote = 0;
  int depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quote != 0) {
      at += c == '\\' ? 1 : 0;
      if (c == quote) quote = 0;
      continue;
    }
    if (depth == 0) use(at);
    if (c == '\'' || c == '"') quote = c;
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
  }
}

/// The pieces between separators that stand outside of quotes and brackets.
std::vector<std::string> split_top_level(std::string_view text,
                                         const std::vector<std::string_view>& separators) {
  std::vector<std::string> pieces;
  size_t begin = 0;
  for_each_top_level(text, [&](size_t at) {
    if (at < begin) return;
    for (const std::string_view separator : separators) {
      if (!core::starts_with(text.substr(at), separator)) continue;
      pieces.emplace_back(core::trim(text.substr(begin, at - begin)));
      begin = at + separator.size();
      return;
    }
  });
  pieces.emplace_back(core::trim(text.substr(begin)));
  return pieces;
}

/// The text of a quoted literal; nothing for anything else.
std::optional<std::string> literal_of(std::string_view text) {
  if (text.size() < 2 || (text[0] != '\'' && text[0] != '"') || text.back() != text[0])
    return std::nullopt;
  std::string result;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == text[0]) return std::nullopt;  // two literals beside each other
    if (text[i] != '\\' || i + 2 >= text.size()) {
      result += text[i];
      continue;
    }
    const char c = text[++i];
    result += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
  }
  return result;
}

/// A text that is known: a literal, a role, a content, a type, a variable.
std::optional<std::string> text_of(const std::string& raw, const Scope& scope) {
  if (const auto literal = literal_of(raw)) return literal;
  const std::string name = normalised(raw);
  const Message& message = scope.turn.message;
  if (!scope.message_name.empty() && name == scope.message_name + ".role") return message.role;
  if (scope.turn.is_first && name == "messages[0].role") return message.role;
  if (scope.part != nullptr) {
    const bool is_image = scope.part->kind == ContentPart::Kind::kImage;
    if (name == scope.part_name + ".type") return is_image ? "image" : "text";
    if (name == scope.part_name + ".text" && !is_image) return scope.part->text;
  }
  if (scope.is_content(name) && scope.turn.is_string) return message.content.front().text;
  const auto variable = scope.variables.find(name);
  return variable == scope.variables.end() ? std::nullopt : variable->second;
}

Truth negation(Truth truth) { return truth ? Truth(!*truth) : truth; }

/// `x is string` and the like.
Truth truth_of_test(const std::string& subject, std::string test, const Scope& scope) {
  const bool is_negated = core::starts_with(test, "not ");
  if (is_negated) test.erase(0, 4);
  Truth truth;
  if (names_what_rows_lack(subject)) {
    truth = test == "none" || test == "undefined"     ? Truth(true)
            : test == "defined" && subject == "tools" ? Truth()  // given as none
                                                      : Truth(false);
  } else if (scope.is_content(subject) || text_of(subject, scope)) {
    const bool is_string = !scope.is_content(subject) || scope.turn.is_string;
    if (test == "string") truth = is_string;
    if (test == "mapping" || test == "none" || test == "undefined") truth = false;
    if (test == "iterable" || test == "sequence" || test == "defined") truth = true;
  }
  return is_negated ? negation(truth) : truth;
}

Truth truth_of_atom(const std::string& raw, const Scope& scope) {
  const std::string atom = normalised(raw);
  if (atom == "true" || atom == "True") return true;
  if (atom == "false" || atom == "False") return false;
  if (atom == "add_generation_prompt") return scope.turn.asks_answer;
  if (atom == "loop.first" || atom == "loop.index0 == 0" || atom == "loop.index == 1")
    return scope.is_first_pass;
  if (atom == "loop.last") return scope.is_last_pass;
  if (const auto sides = split_top_level(raw, {" is "}); sides.size() == 2)
    return truth_of_test(normalised(sides[0]), normalised(sides[1]), scope);
  if (const auto sides = split_top_level(raw, {"==", "!="}); sides.size() == 2) {
    const bool is_equal = raw.find("==") != raw.npos;
    const auto left = text_of(sides[0], scope), right = text_of(sides[1], scope);
    if (left && right) return (*left == *right) == is_equal;
    return names_what_rows_lack(atom) ? Truth(!is_equal) : Truth();
  }
  if (const auto sides = split_top_level(raw, {" not in ", " in "}); sides.size() == 2) {
    const bool is_inside = raw.find(" not in ") == raw.npos;
    const bool is_part = scope.part != nullptr && normalised(sides[1]) == scope.part_name;
    const auto key = literal_of(sides[0]);
    if (!is_part || !key) return {};
    if (*key == "image" && scope.part->kind == ContentPart::Kind::kImage) return {};  // either form
    const bool is_text = *key == "text" && scope.part->kind == ContentPart::Kind::kText;
    return (is_text || *key == "type") == is_inside;
  }
  if (names_what_rows_lack(atom)) return false;
  const auto text = text_of(raw, scope);
  return text ? Truth(!text->empty()) : Truth();
}

Truth truth_at(const std::string& raw, const Scope& scope, int depth) {
  if (depth > kMaxParentheses || raw.size() > kMaxExpression) return {};
  Truth result = false;
  const auto alternatives = split_top_level(raw, {" or "});
  if (alternatives.size() > 1) {
    for (const std::string& alternative : alternatives) {
      const Truth truth = truth_at(alternative, scope, depth + 1);
      if (truth && *truth) return true;
      if (!truth) result = {};
    }
    return result;
  }
  const auto terms = split_top_level(raw, {" and "});
  if (terms.size() > 1) {
    result = true;
    for (const std::string& term : terms) {
      const Truth truth = truth_at(term, scope, depth + 1);
      if (truth && !*truth) return false;
      if (!truth) result = {};
    }
    return result;
  }
  if (core::starts_with(raw, "not ") || core::starts_with(raw, "not("))
    return negation(truth_at(std::string(core::trim(raw.substr(3))), scope, depth + 1));
  size_t last_open = 0;  // "(a)" as a whole, not "(a)(b)"
  for_each_top_level(raw, [&](size_t at) { last_open = at; });
  if (core::starts_with(raw, "(") && core::ends_with(raw, ")") && last_open == 0)
    return truth_at(std::string(core::trim(raw.substr(1, raw.size() - 2))), scope, depth + 1);
  return truth_of_atom(raw, scope);
}

}  // namespace

std::string normalised(std::string_view text) {
  std::string result;
  for (const char c : core::trim(text)) {
    const bool is_space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (is_space && !result.empty() && result.back() == ' ') continue;
    result += is_space ? ' ' : c == '"' ? '\'' : c;
  }
  static const std::regex kMember(R"(\['([a-z_]{1,32})'\])");
  return std::regex_replace(result, kMember, ".$1");
}

bool names_what_rows_lack(const std::string& expression) {
  static const std::regex kNames(
      R"((^|[^a-z_])(tools|tool_calls?|custom_tools|documents|add_vision_id|enable_thinking|reasoning_content|video)($|[^a-z_]))");
  return std::regex_search(expression, kNames);
}

std::optional<std::string> sum_of(const std::string& expression, const Scope& scope) {
  std::string sum;
  for (const std::string& term : split_top_level(expression, {"+", "~"})) {
    const auto text = text_of(term, scope);
    if (!text) return std::nullopt;
    sum += *text;
  }
  return sum;
}

Truth truth_of(const std::string& condition, const Scope& scope) {
  return truth_at(condition, scope, 0);
}

}  // namespace sgrpo::tokenizer
