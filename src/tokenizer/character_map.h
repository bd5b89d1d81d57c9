// The normaliser's table inside a tokenizer.model, which the library trusts.
#pragma once

#include <string>
#include <string_view>

namespace sgrpo::tokenizer {

/// Follows every path of the double-array tries (darts-clone) of a serialized model's normalisers
/// (ModelProto's fields 3 and 5, precompiled_charsmap) and checks that none leaves the table or the
/// texts behind it. Throws core::UserError "<where>: ...".
void check_character_maps(std::string_view model, const std::string& where);

}  // namespace sgrpo::tokenizer
