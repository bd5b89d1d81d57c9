#include "template_tree.h"

#include <algorithm>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "template_checks.h"

namespace sgrpo::tokenizer {
namespace {

constexpr size_t kMaxNesting = 32;

/// A tag with what stands before it.
struct Tag {
  std::string before;            // text, white space already gone where a tag takes it
  char kind = 0;                 // '{' output, '%' statement, '#' comment, 0 the end
  std::string_view inside = {};  // without marks and outer white space
};

void strip_right(std::string& text, std::string_view characters) {
  text.erase(text.find_last_not_of(characters) + 1);
}

/// The offset of `close` behind `at`, quoted texts passed over.
size_t find_close(std::string_view text, size_t at, std::string_view close) {
  char quote = 0;
  for (; at < text.size(); ++at) {
    if (quote != 0) {
      if (text[at] == '\\')
        ++at;
      else if (text[at] == quote)
        quote = 0;
    } else if (core::starts_with(text.substr(at), close)) {
      return at;
    } else if ((text[at] == '\'' || text[at] == '"') && close != "#}") {
      quote = text[at];
    }
  }
  return text.npos;
}

class TagReader {
 public:
  TagReader(std::string_view text, const std::string& where) : rest_(text), where_(where) {
    if (core::ends_with(rest_, "\n")) rest_.remove_suffix(1);  // keep_trailing_newline is off
  }

  Tag next() {
    Tag tag{.before = std::string(rest_.substr(0, find_open()))};
    rest_.remove_prefix(tag.before.size());
    apply_trimming(tag.before);
    if (rest_.empty()) return tag;
    tag.kind = rest_[1];
    const std::string_view close = tag.kind == '{' ? "}}" : tag.kind == '%' ? "%}" : "#}";
    const size_t end = find_close(rest_, 2, close);
    if (end == rest_.npos) refuse_template(where_, "has a tag that does not end");
    tag.inside = rest_.substr(2, end - 2);
    rest_.remove_prefix(end + 2);
    const bool strips_left = core::starts_with(tag.inside, "-");
    const bool keeps_left = core::starts_with(tag.inside, "+");
    if (strips_left) strip_right(tag.before, " \t\r\n\v\f");
    if (tag.kind != '{' && !strips_left && !keeps_left) strip_line_start(tag.before);
    if (strips_left || keeps_left) tag.inside.remove_prefix(1);
    strips_next_ = core::ends_with(tag.inside, "-");
    drops_line_end_ = tag.kind != '{' && !core::ends_with(tag.inside, "+");
    if (strips_next_ || core::ends_with(tag.inside, "+")) tag.inside.remove_suffix(1);
    tag.inside = core::trim(tag.inside);
    starts_line_ = false;
    return tag;
  }

 private:
  size_t find_open() const {
    for (size_t at = rest_.find('{'); at != rest_.npos; at = rest_.find('{', at + 1)) {
      if (at + 1 < rest_.size() && std::string_view("{%#").find(rest_[at + 1]) != rest_.npos)
        return at;
    }
    return rest_.size();
  }

  /// What the tag before takes from this text.
  void apply_trimming(std::string& text) {
    if (strips_next_) {
      text.erase(0, std::min(text.find_first_not_of(" \t\r\n\v\f"), text.size()));
    } else if (drops_line_end_ && core::starts_with(text, "\n")) {
      text.erase(0, 1);
      starts_line_ = true;
    }
  }

  /// lstrip_blocks: white space between the line's start and a statement.
  void strip_line_start(std::string& text) const {
    const size_t last = text.find_last_not_of(" \t");
    const bool is_whole_line = last == text.npos ? starts_line_ : text[last] == '\n';
    if (is_whole_line) strip_right(text, " \t");
  }

  std::string_view rest_;
  const std::string& where_;
  bool strips_next_ = false, drops_line_end_ = false;
  bool starts_line_ = true;
};

/// "if" of "if x", with "x" left in `statement`.
std::string take_word(std::string_view& statement) {
  const size_t end = std::min(statement.find_first_of(" \t\r\n("), statement.size());
  const std::string word(statement.substr(0, end));
  statement = core::trim(statement.substr(end));
  return word;
}

class TreeReader {
 public:
  TreeReader(std::string_view text, const std::string& where) : tags_(text, where), where_(where) {}

  std::vector<TemplateNode> read() {
    std::vector<TemplateNode> nodes = body(0);
    if (!ending_.empty()) refuse_template(where_, "has '" + ending_ + "' without its beginning");
    return nodes;
  }

 private:
  /// Nodes up to a tag that ends or continues the enclosing one: `ending_`, its rest `condition_`.
  std::vector<TemplateNode> body(size_t depth) {
    if (depth > kMaxNesting) refuse_template(where_, "is nested too deeply");
    std::vector<TemplateNode> nodes;
    while (true) {
      Tag tag = tags_.next();
      if (!tag.before.empty())
        nodes.push_back({.kind = TemplateNode::Kind::kText, .text = std::move(tag.before)});
      if (tag.kind == '{')
        nodes.push_back({.kind = TemplateNode::Kind::kOutput, .text = std::string(tag.inside)});
      if (tag.kind == '%' && !add_statement(tag.inside, depth, nodes)) return nodes;
      if (tag.kind != 0) continue;
      ending_.clear();
      return nodes;
    }
  }

  /// False at a statement that ends the body.
  bool add_statement(std::string_view statement, size_t depth, std::vector<TemplateNode>& nodes) {
    const std::string word = take_word(statement);
    if (word == "generation" || word == "endgeneration") return true;  // marks without output
    if (word == "if" || word == "for") {
      nodes.push_back(block(word, std::string(statement), depth));
    } else if (word == "set" && statement.find('=') != statement.npos) {
      nodes.push_back({.kind = TemplateNode::Kind::kSet, .text = std::string(statement)});
    } else if (word == "elif" || word == "else" || word == "endif" || word == "endfor") {
      ending_ = word;
      condition_ = statement;
      return false;
    } else {
      refuse_template(
          where_,
          core::str("has the statement '", core::printable(word), "', expected if, for and set"));
    }
    return true;
  }

  TemplateNode block(const std::string& word, const std::string& head, size_t depth) {
    const bool is_if = word == "if";
    TemplateNode node{.kind = is_if ? TemplateNode::Kind::kIf : TemplateNode::Kind::kFor,
                      .text = is_if ? "" : head};
    std::string condition = is_if ? head : "true";
    while (true) {
      node.branches.push_back({condition, body(depth + 1)});
      if (ending_ == "end" + word) return node;
      if (!is_if || (ending_ != "elif" && ending_ != "else"))
        refuse_template(where_, core::str("has '", ending_, "' where 'end", word, "' is due"));
      condition = ending_ == "else" ? "true" : condition_;
    }
  }

  TagReader tags_;
  const std::string& where_;
  std::string ending_, condition_;
};

}  // namespace

std::vector<TemplateNode> parse_template(std::string_view text, const std::string& where) {
  return TreeReader(text, where).read();
}

}  // namespace sgrpo::tokenizer
