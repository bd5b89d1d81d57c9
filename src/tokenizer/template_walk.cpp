#include "template_walk.h"

#include <algorithm>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "template_checks.h"
#include "template_terms.h"

namespace sgrpo::tokenizer {
namespace {

using Nodes = std::vector<TemplateNode>;

constexpr size_t kMaxWays = 64;  // through one template

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
        if (truth == Truth::kNo) continue;
        for (Way& taken : walk(candidate.body, {way})) result.push_back(std::move(taken));
        is_decided = truth == Truth::kYes;
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
      if (sequence == "messages") scope.is_first_pass = truth_from(outer.turn.is_first);
      return {scope};
    }
    if (!outer.is_content(sequence) || outer.turn.is_string)
      refuse_template(
          where_,
          core::str(
              "loops over '", core::printable(sequence, 40), "', expected messages or a content"));
    std::vector<Scope> scopes;
    for (const ContentPart& part : outer.turn.message.content) {
      scopes.push_back(outer);
      scopes.back().part_name = name;
      scopes.back().part = &part;
      scopes.back().is_first_pass = truth_from(&part == &outer.turn.message.content.front());
      scopes.back().is_last_pass = truth_from(&part == &outer.turn.message.content.back());
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

std::vector<std::string> texts_of(const Nodes& nodes,
                                  const Scope& scope,
                                  const std::string& where) {
  std::vector<std::string> texts;
  for (Way& way : Walker(where).walk(nodes, {{"", scope}})) texts.push_back(std::move(way.text));
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

/// The loop over messages that writes them, at the top or inside conditions.
const TemplateNode* find_message_loop(const Nodes& nodes) {
  for (const TemplateNode& node : nodes) {
    if (node.kind == TemplateNode::Kind::kFor && loop_of(node.text).second == "messages")
      return &node;
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
      if (truth == Truth::kNo) continue;
      const std::string body = statements_of(branch.body, scope);
      const bool is_certain = truth == Truth::kYes;
      const bool is_inline = is_certain && !is_open && node.kind == TemplateNode::Kind::kIf;
      if (is_open) list += "else ";
      if (!is_certain) list += "if " + plain(branch.condition, scope);
      list += is_inline ? body : "{" + body + "}";
      is_open = true;
      if (is_certain) break;
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
