// Whether a chat template is one that ChatTemplate can stand for.
#pragma once

#include <string>
#include <string_view>

namespace sgrpo::tokenizer {

/// Refuses what is no ChatML, and ChatML that writes more, less or something else than its turns:
/// other filters and string methods than Qwen's templates use, literal text before the first
/// statement, turns that a slice leaves out, anything but a line break after a role. Throws
/// core::UserError naming `where` and what was found.
void check_template(std::string_view text, const std::string& where);

/// Throws core::UserError "<where>: the chat template <what>".
[[noreturn]] void refuse_template(const std::string& where, std::string_view what);

}  // namespace sgrpo::tokenizer
