// What the expressions of a template say about one turn.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sgrpo/types/prompt_record.h"
#include "template_walk.h"

namespace sgrpo::tokenizer {

/// Whether a condition holds for a turn; open where the turn alone does not decide it.
enum class Truth { kNo, kYes, kOpen };
inline Truth truth_from(bool value) { return value ? Truth::kYes : Truth::kNo; }

/// The turn in view and the names that the loops around it give to things.
struct Scope {
  TurnView turn;
  std::string message_name = "";  // in the loop over messages
  std::string part_name = "";     // in a loop over content
  const ContentPart* part = nullptr;
  Truth is_first_pass = Truth::kOpen, is_last_pass = Truth::kOpen;   // of the innermost loop
  std::map<std::string, std::optional<std::string>> variables = {};  // known texts

  bool is_content(const std::string& name) const {
    return (!message_name.empty() && name == message_name + ".content") ||
           (turn.is_first && name == "messages[0].content");
  }
};

/// message['role'] and message["role"] as message.role; one kind of quote, single spaces.
std::string normalised(std::string_view text);

/// Whether a name in it stands for something that rows never have: tools, videos, switches.
bool names_what_rows_lack(const std::string& expression);

/// A sum of literals, roles, contents, types and variables with known texts; nothing for any other
/// expression.
std::optional<std::string> sum_of(const std::string& expression, const Scope& scope);

/// A condition, normalised before.
Truth truth_of(const std::string& condition, const Scope& scope);

}  // namespace sgrpo::tokenizer
