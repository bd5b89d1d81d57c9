#include "template_walk.h"

#include <algorithm>
#include <map>
#include <optional>
#include <regex>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "template_checks.h"

namespace sgrpo::tokenizer {
namespace {

using Nodes = std::vector<TemplateNode>;
using Truth = std::optional<bool>;  // nothing: the turn does not decide it

constexpr size_t kMaxWays = 64;       // through one template
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
std::vector<std::string> split_top_level(std::string_view text, const std::vector<std::string_view>& separators) {
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

/// message['role'], message["role"] -> message.role; one kind of quote, single spaces.
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

/// Whether a name in it stands for something that rows never have.
bool names_what_rows_lack(const std::string& expression) {
  static const std::regex kNames(
      R"((^|[^a-z_])(tools|tool_calls?|custom_tools|documents|add_vision_id|enable_thinking|reasoning_content|video)($|[^a-z_]))");
  return std::regex_search(expression, kNames);
}

/// The turn in view and the names that the loops around it give to things.
struct Scope {
  TurnView turn;
  std::string message_name = "";              // in the loop over messages
  std::string part_name = "";                 // in a loop over content
  const ContentPart* part = nullptr;
  Truth is_first_pass = {}, is_last_pass = {};  // of the innermost loop
  std::map<std::string, std::optional<std::string>> variables = {};  // known texts

  bool is_content(const std::string& name) const {
    return (!message_name.empty() && name == message_name + ".content") ||
           (turn.is_first && name == "messages[0].content");
  }
};

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

/// A sum of known texts.
std::optional<std::string> sum_of(const std::string& expression, const Scope& scope) {
  std::string sum;
  for (const std::string& term : split_top_level(expression, {"+", "~"})) {
    const auto text = text_of(term, scope);
    if (!text) return std::nullopt;
    sum += *text;
  }
  return sum;
}

// ------------------------------------------------------------------ conditions

Truth negation(Truth truth) { return truth ? Truth(!*truth) : truth; }

/// `x is string` and the like.
Truth truth_of_test(const std::string& subject, std::string test, const Scope& scope) {
  const bool is_negated = core::starts_with(test, "not ");
  if (is_negated) test.erase(0, 4);
  Truth truth;
  if (names_what_rows_lack(subject)) {
    truth = test == "none" || test == "undefined" ? Truth(true)
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

Truth truth_of(const std::string& raw, const Scope& scope, int depth = 0) {
  if (depth > kMaxParentheses || raw.size() > kMaxExpression) return {};
  Truth result = false;
  const auto alternatives = split_top_level(raw, {" or "});
  if (alternatives.size() > 1) {
    for (const std::string& alternative : alternatives) {
      const Truth truth = truth_of(alternative, scope, depth + 1);
      if (truth && *truth) return true;
      if (!truth) result = {};
    }
    return result;
  }
  const auto terms = split_top_level(raw, {" and "});
  if (terms.size() > 1) {
    result = true;
    for (const std::string& term : terms) {
      const Truth truth = truth_of(term, scope, depth + 1);
      if (truth && !*truth) return false;
      if (!truth) result = {};
    }
    return result;
  }
  if (core::starts_with(raw, "not ") || core::starts_with(raw, "not("))
    return negation(truth_of(std::string(core::trim(raw.substr(3))), scope, depth + 1));
  size_t last_open = 0;  // "(a)" as a whole, not "(a)(b)"
  for_each_top_level(raw, [&](size_t at) { last_open = at; });
  if (core::starts_with(raw, "(") && core::ends_with(raw, ")") && last_open == 0)
    return truth_of(std::string(core::trim(raw.substr(1, raw.size() - 2))), scope, depth + 1);
  return truth_of_atom(raw, scope);
}

// ------------------------------------------------------------------ the walk

/// One way through the template so far.
struct Way {
  std::string text;
  Scope scope;
};
using Ways = std::vector<Way>;

/// {"message", "messages"} of "message in messages".
std::pair<std::string, std::string> loop_of(const std::string& head) {
  const size_t at = head.find(" in ");
  if (at == head.npos) return {"", normalised(head)};
  return {normalised(head.substr(0, at)), normalised(head.substr(at + 4))};
}

class Walker {
 public:
  explicit Walker(const std::string& where) : where_(where) {}

  Ways walk(const Nodes& nodes, Ways ways) const {
    for (const TemplateNode& node : nodes) {
      ways = step(node, std::move(ways));
      if (ways.size() > kMaxWays) refuse_template(where_, "has too many ways to write one turn");
    }
    return ways;
  }

 private:
  Ways step(const TemplateNode& node, Ways ways) const {
    if (node.kind == TemplateNode::Kind::kIf) return branch(node, std::move(ways));
    if (node.kind == TemplateNode::Kind::kFor) return loop(node, std::move(ways));
    for (Way& way : ways) {
      if (node.kind == TemplateNode::Kind::kText) way.text += node.text;
      if (node.kind == TemplateNode::Kind::kOutput) way.text += output(node.text, way.scope);
      if (node.kind == TemplateNode::Kind::kSet) set(node.text, way.scope);
    }
    return ways;
  }

  std::string output(const std::string& expression, const Scope& scope) const {
    if (const auto text = sum_of(expression, scope)) return *text;
    refuse_template(where_,
                    core::str("writes '{{ ",
                              core::printable(expression, 100),
                              " }}' into a prompt, expected literal texts, roles and contents"));
  }

  static void set(const std::string& statement, Scope& scope) {
    const size_t equals = statement.find('=');
    const std::string value(core::trim(std::string_view(statement).substr(equals + 1)));
    scope.variables[normalised(statement.substr(0, equals))] = sum_of(value, scope);
  }

  Ways branch(const TemplateNode& node, Ways ways) const {
    Ways result;
    for (Way& way : ways) {
      bool is_decided = false;
      for (const TemplateNode::Branch& candidate : node.branches) {
        const Truth truth = truth_of(normalised(candidate.condition), way.scope);
        if (truth && !*truth) continue;
        for (Way& taken : walk(candidate.body, {way})) result.push_back(std::move(taken));
        is_decided = truth.has_value();
        if (is_decided) break;
      }
      if (!is_decided) result.push_back(std::move(way));
    }
    return unique(std::move(result));
  }

  Ways loop(const TemplateNode& node, Ways ways) const {
    const auto [name, sequence] = loop_of(node.text);
    if (names_what_rows_lack(sequence)) return ways;
    Ways result;
    for (Way& way : ways) {
      const Scope outer = way.scope;
      Ways inner = {std::move(way)};
      for (Scope& scope : scopes_inside(name, sequence, outer)) {
        for (Way& one : inner) one.scope = scope;
        inner = walk(node.branches.front().body, std::move(inner));
      }
      for (Way& one : inner) {
        one.scope = outer;  // what a loop sets ends with it
        result.push_back(std::move(one));
      }
    }
    return unique(std::move(result));
  }

  /// A scope for each pass of a loop.
  std::vector<Scope> scopes_inside(const std::string& name,
                                   const std::string& sequence,
                                   const Scope& outer) const {
    if (sequence == "messages" || sequence == "messages[::-1]") {
      Scope scope = outer;
      scope.message_name = name;
      if (sequence == "messages") scope.is_first_pass = outer.turn.is_first;
      return {scope};
    }
    if (!outer.is_content(sequence) || outer.turn.is_string)
      refuse_template(where_, core::str("loops over '", core::printable(sequence, 40), "', expected messages or a content"));
    std::vector<Scope> scopes;
    for (const ContentPart& part : outer.turn.message.content) {
      scopes.push_back(outer);
      scopes.back().part_name = name;
      scopes.back().part = &part;
      scopes.back().is_first_pass = &part == &outer.turn.message.content.front();
      scopes.back().is_last_pass = &part == &outer.turn.message.content.back();
    }
    return scopes;
  }

  static Ways unique(Ways ways) {
    Ways result;
    for (Way& way : ways) {
      const bool is_known = std::any_of(result.begin(), result.end(), [&](const Way& other) {
        return other.text == way.text && other.scope.variables == way.scope.variables;
      });
      if (!is_known) result.push_back(std::move(way));
    }
    return result;
  }

  const std::string& where_;
};

std::vector<std::string> texts_of(const Nodes& nodes, const Scope& scope, const std::string& where) {
  std::vector<std::string> texts;
  for (Way& way : Walker(where).walk(nodes, {{"", scope}})) texts.push_back(std::move(way.text));
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

/// The loop over messages that writes them, at the top or inside conditions.
const TemplateNode* find_message_loop(const Nodes& nodes) {
  for (const TemplateNode& node : nodes) {
    if (node.kind == TemplateNode::Kind::kFor && loop_of(node.text).second == "messages") return &node;
    for (const TemplateNode::Branch& branch : node.branches) {
      if (node.kind != TemplateNode::Kind::kIf) continue;
      if (const TemplateNode* found = find_message_loop(branch.body)) return found;
    }
  }
  return nullptr;
}

/// One statement without white space; `message.content` reads `content`.
std::string plain(const std::string& statement, const Scope& scope) {
  std::string line = normalised(statement);
  const std::string content = scope.message_name + ".content";
  for (size_t at = line.find(content); at != line.npos; at = line.find(content))
    line.replace(at, content.size(), "content");
  std::erase(line, ' ');
  return line;
}

std::string statements_of(const Nodes& nodes, const Scope& scope) {
  std::string list;
  for (const TemplateNode& node : nodes) {
    if (node.kind == TemplateNode::Kind::kText) list += node.text;
    if (node.kind == TemplateNode::Kind::kOutput) list += "{{" + plain(node.text, scope) + "}}";
    if (node.kind == TemplateNode::Kind::kSet) {
      const std::string line = plain(node.text, scope);
      if (line != "content=content") list += "set " + line + ";";
    }
    if (node.kind == TemplateNode::Kind::kFor) list += "for " + plain(node.text, scope);
    bool is_open = false;
    for (const TemplateNode::Branch& branch : node.branches) {
      const Truth truth = truth_of(normalised(branch.condition), scope);
      if (truth && !*truth) continue;
      const std::string body = statements_of(branch.body, scope);
      const bool is_inline = truth && !is_open && node.kind == TemplateNode::Kind::kIf;
      if (is_open) list += "else ";
      if (!truth) list += "if " + plain(branch.condition, scope);
      list += is_inline ? body : "{" + body + "}";
      is_open = true;
      if (truth) break;
    }
  }
  return list;
}

}  // namespace

std::vector<std::string> texts_of_conversation(const Nodes& tree,
                                               const TurnView& turn,
                                               const std::string& where) {
  return texts_of(tree, {.turn = turn}, where);
}

std::vector<std::string> texts_of_turn(const Nodes& tree,
                                       const TurnView& turn,
                                       const std::string& where) {
  const TemplateNode* loop = find_message_loop(tree);
  if (loop == nullptr) refuse_template(where, "has no loop over messages");
  return texts_of({*loop}, {.turn = turn}, where);
}

std::string statements_of_assistant(const Nodes& tree) {
  const TemplateNode* loop = find_message_loop(tree);
  if (loop == nullptr) return "";
  Scope scope;
  scope.turn.message = {.role = "assistant", .content = {{ContentPart::Kind::kText, "(content)"}}};
  scope.turn.is_first = false;
  scope.message_name = loop_of(loop->text).first;
  return statements_of(loop->branches.front().body, scope);
}

}  // namespace sgrpo::tokenizer
