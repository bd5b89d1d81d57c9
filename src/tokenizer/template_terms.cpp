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

Truth negation(Truth truth) {
  return truth == Truth::kOpen ? truth : truth_from(truth == Truth::kNo);
}

/// `x is string` and the like, without `not`.
Truth truth_of_test(const std::string& subject, const std::string& test, const Scope& scope) {
  const bool is_absent = test == "none" || test == "undefined";
  if (names_what_rows_lack(subject)) {
    const bool is_given_as_none = test == "defined" && subject == "tools";
    return is_given_as_none ? Truth::kOpen : truth_from(is_absent);
  }
  if (!scope.is_content(subject) && !text_of(subject, scope)) return Truth::kOpen;
  if (test == "string") return truth_from(!scope.is_content(subject) || scope.turn.is_string);
  if (is_absent || test == "mapping") return Truth::kNo;
  const bool is_any = test == "iterable" || test == "sequence" || test == "defined";
  return is_any ? Truth::kYes : Truth::kOpen;
}

/// `left == right`.
Truth truth_of_equality(const std::string& left, const std::string& right, const Scope& scope) {
  const auto one = text_of(left, scope), other = text_of(right, scope);
  if (one && other) return truth_from(*one == *other);
  const bool is_lacking = names_what_rows_lack(normalised(left + " " + right));
  return is_lacking ? Truth::kNo : Truth::kOpen;
}

/// `'text' in part`.
Truth truth_of_membership(const std::string& key, const std::string& whole, const Scope& scope) {
  const auto name = literal_of(key);
  if (!name || scope.part == nullptr || normalised(whole) != scope.part_name) return Truth::kOpen;
  const bool is_image = scope.part->kind == ContentPart::Kind::kImage;
  if (*name == "image" && is_image) return Truth::kOpen;  // with its path or without
  return truth_from(*name == "type" || (*name == "text" && !is_image));
}

Truth truth_of_atom(const std::string& atom, const Scope& scope) {
  if (atom == "true" || atom == "True") return Truth::kYes;
  if (atom == "false" || atom == "False") return Truth::kNo;
  if (atom == "add_generation_prompt") return truth_from(scope.turn.asks_answer);
  if (atom == "loop.first" || atom == "loop.index0 == 0" || atom == "loop.index == 1")
    return scope.is_first_pass;
  if (atom == "loop.last") return scope.is_last_pass;
  for (const bool is_negated : {true, false}) {
    const auto sides = [&](const char* plain, const char* negated) {
      return split_top_level(atom, {is_negated ? negated : plain});
    };
    const auto answer = [&](Truth truth) { return is_negated ? negation(truth) : truth; };
    if (const auto is = sides(" is ", " is not "); is.size() == 2)
      return answer(truth_of_test(is[0], is[1], scope));
    if (const auto equal = sides("==", "!="); equal.size() == 2)
      return answer(truth_of_equality(equal[0], equal[1], scope));
    if (const auto in = sides(" in ", " not in "); in.size() == 2)
      return answer(truth_of_membership(in[0], in[1], scope));
  }
  if (names_what_rows_lack(atom)) return Truth::kNo;
  const auto text = text_of(atom, scope);
  return text ? truth_from(!text->empty()) : Truth::kOpen;
}

Truth truth_at(const std::string& raw, const Scope& scope, int depth) {
  if (depth > kMaxParentheses || raw.size() > kMaxExpression) return Truth::kOpen;
  for (const bool is_or : {true, false}) {
    const auto terms = split_top_level(raw, {is_or ? " or " : " and "});
    if (terms.size() == 1) continue;
    const Truth decisive = truth_from(is_or);  // one yes decides an `or`, one no an `and`
    Truth result = negation(decisive);
    for (const std::string& term : terms) {
      const Truth truth = truth_at(term, scope, depth + 1);
      if (truth == decisive) return truth;
      if (truth == Truth::kOpen) result = truth;
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
