// What a template would write for a turn, read off its tree.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/types/prompt_record.h"
#include "template_tree.h"

namespace sgrpo::tokenizer {

/// The turn that a walk is about. Rows need no tools, videos, picture numbers or thinking switches:
/// what a template writes for those is passed over.
struct TurnView {
  Message message;  // one text part stands for a string, several for a list
  bool is_string = true;
  bool is_first = true;
  bool asks_answer = false;  // add_generation_prompt
};

/// The texts that the whole template may write for a conversation of this one turn, one for each
/// way through the conditions that a turn does not decide. Throws core::UserError naming `where`
/// for an expression that is neither literal text nor a role or content.
std::vector<std::string> texts_of_conversation(const std::vector<TemplateNode>& tree,
                                               const TurnView& turn,
                                               const std::string& where);

/// The same for its loop over messages alone: what a later turn writes.
std::vector<std::string> texts_of_turn(const std::vector<TemplateNode>& tree,
                                       const TurnView& turn,
                                       const std::string& where);

/// What its loop over messages does for a later assistant turn, as one text: conditions that the
/// turn decides are resolved, white space is left out, `message.content` reads `content`.
std::string statements_of_assistant(const std::vector<TemplateNode>& tree);

}  // namespace sgrpo::tokenizer
