// A chat template's text as a tree: what it writes, under which conditions, in which loops.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sgrpo::tokenizer {

/// A piece of a template.
struct TemplateNode {
  enum class Kind {
    kText,    // `text` as it stands
    kOutput,  // {{ text }}
    kSet,     // {% set text %}
    kIf,      // the first branch whose condition holds; an else branch has the condition "true"
    kFor      // {% for text %}: the one branch
  };
  struct Branch {
    std::string condition;
    std::vector<TemplateNode> body;
  };
  Kind kind = Kind::kText;
  std::string text;
  std::vector<Branch> branches = {};
};

/// Takes a template apart as Jinja does under transformers' settings: comments and white space
/// beside tags go as trim_blocks, lstrip_blocks and `-` say. Nothing is evaluated. Throws
/// core::UserError naming `where` for other statements than if, for and set, and for tags that do
/// not match.
std::vector<TemplateNode> parse_template(std::string_view text, const std::string& where);

}  // namespace sgrpo::tokenizer
