#include "template_checks.h"

#include <algorithm>
#include <array>
#include <regex>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::tokenizer {
namespace {

using Match = std::match_results<std::string_view::const_iterator>;
using Matches = std::regex_iterator<std::string_view::const_iterator>;

// Whose template a text is, if it is a known other one; for messages.
std::string_view other_kind(std::string_view text) {
  struct Mark {
    std::string_view mark, kind;
  };
  constexpr Mark kMarks[] = {{"<|start_header_id|>", "Llama 3's"},
                             {"<|header_start|>", "Llama 4's"},
                             {"[INST]", "Mistral's or Llama 2's"},
                             {"<start_of_turn>", "Gemma's"},
                             {"<\uff5cUser\uff5c>", "DeepSeek's"},
                             {"<|user|>", "Phi's or GLM's"},
                             {"USER:", "Vicuna's"}};
  for (const Mark& mark : kMarks) {
    if (core::contains(text, mark.mark)) return mark.kind;
  }
  return "";
}

// std::regex recurses once a character: every repetition below has a bound, so that no template
// can exhaust the stack.

// Marks without which the text is no ChatML.
void check_markers(std::string_view text, const std::string& where) {
  for (const std::string_view marker : {"<|im_start|>", "<|im_end|>", "messages"}) {
    if (core::contains(text, marker)) continue;
    const std::string_view kind = other_kind(text);
    refuse_template(where,
                    core::str("is not ChatML: it has no '",
                              marker,
                              "'",
                              kind.empty() ? "" : core::str("; it looks like ", kind),
                              "; expected turns of <|im_start|>role .. <|im_end|>, as Qwen's"));
  }
  static const std::regex kTurnEnd(R"(<\|im_end\|>(' {0,2}\+ {0,2}'|" {0,2}\+ {0,2}")?(\n|\\n))");
  if (!std::regex_search(text.begin(), text.end(), kTurnEnd)) {
    refuse_template(where, "is not ChatML: no line break follows '<|im_end|>'");
  }
}

// Filters and methods of Qwen's own templates: on tools, or on reasoning, which is modelled.
void check_filters(std::string_view text, const std::string& where) {
  constexpr std::array<std::string_view, 5> kFilters = {
      "tojson", "length", "count", "string", "safe"};
  static const std::regex kFilter(R"([^|<]\|-? {0,4}([a-z_]{1,32})(?![a-z_|>]))");
  for (Matches it(text.begin(), text.end(), kFilter), end; it != end; ++it) {
    const std::string name = it->str(1);
    if (std::find(kFilters.begin(), kFilters.end(), name) == kFilters.end()) {
      refuse_template(
          where,
          core::str("has the filter '| ", name, "', expected a template that keeps text as it is"));
    }
  }
  static const std::regex kMethod(R"(\.(upper|lower|title|capitalize|swapcase|replace|format)\()");
  Match method;
  if (std::regex_search(text.begin(), text.end(), method, kMethod)) {
    refuse_template(
        where,
        core::str("calls '.", method.str(1), "()', expected a template that keeps text as it is"));
  }
}

// Without the comments that may come first.
std::string_view without_comments(std::string_view text) {
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (!core::starts_with(text, "{#")) return text;
    text.remove_prefix(std::min(text.find("#}"), text.size() - 2) + 2);
  }
}

void check_beginning(std::string_view text, const std::string& where) {
  const std::string_view begin = without_comments(text);
  if (core::starts_with(begin, "{%")) return;
  refuse_template(where,
                  core::str("begins with '",
                            core::printable(begin.substr(0, 24)),
                            "', expected a statement '{%': nothing is written before the turns"));
}

void check_turns(std::string_view text, const std::string& where) {
  static const std::regex kSlice(R"(in {1,4}messages(\[ {0,4}[^:\]]{0,8}:[^\]]{0,16}\]))");
  Match slice;
  if (std::regex_search(text.begin(), text.end(), slice, kSlice) && slice.str(1) != "[::-1]") {
    refuse_template(where,
                    core::str("writes the turns of messages",
                              core::printable(slice.str(1)),
                              ", expected all of them"));
  }
  // <|im_start|> + role + line break, as {{ role }} or inside an expression.
  static const std::regex kRole(
      R"(<\|im_start\|>(?:\{\{-? {0,4}|['"] {0,4}[+~] {0,4})\w{1,32}(?:\.role|\[['"]role['"]\])([^]{0,12}))");
  static const std::regex kBreak(
      R"((?: {0,4}-?\}\}(?:\n|\{\{-? {0,4}['"](?:\n|\\n))| {0,4}[+~] {0,4}['"](?:\n|\\n))[^]{0,12})");
  for (Matches it(text.begin(), text.end(), kRole), end; it != end; ++it) {
    const std::string rest = it->str(1);
    if (std::regex_match(rest, kBreak)) continue;
    refuse_template(where,
                    core::str("writes '",
                              core::printable(rest),
                              "' after a role, expected a line break and nothing else"));
  }
}

}  // namespace

void refuse_template(const std::string& where, std::string_view what) {
  throw core::UserError(core::str(where, ": the chat template ", what));
}

void check_template(std::string_view text, const std::string& where) {
  check_markers(text, where);
  check_filters(text, where);
  check_beginning(text, where);
  check_turns(text, where);
}

}  // namespace sgrpo::tokenizer
