// Added tokens: strings cut out of the text before the model sees it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::tokenizer {

/// One entry of `added_tokens` (tokenizer.json) or `added_tokens_decoder` (tokenizer_config.json).
struct AddedToken {
  int64_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;   // looked for after normalisation
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // takes the white space on its right
  bool single_word = false;  // only where no word character touches it
};

/// Reads one entry. Throws core::UserError naming `where`.
AddedToken parse_added_token(const core::Json& entry, int64_t id, const std::string& where);

/// The entries of tokenizer.json's `added_tokens`, in its order; none for null.
std::vector<AddedToken> parse_added_tokens(const core::Json& list, const std::string& where);

/// The entries of tokenizer_config.json's `added_tokens_decoder`, by id; none if there is no such
/// key.
std::vector<AddedToken> parse_added_tokens_decoder(const core::Json& config,
                                                   const std::string& where);

/// A stretch of text, or an added token in its place.
struct Segment {
  std::string_view text;  // only where id is -1
  int64_t id = -1;
};

/// Finds added tokens as `tokenizers` does: leftmost first, the longest of those.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  /// `tokens` have non-empty contents.
  explicit AddedTokenMatcher(const std::vector<AddedToken>& tokens);

  /// The segments of well-formed UTF-8, in order; no text segment is empty.
  std::vector<Segment> split(std::string_view text) const;

 private:
  const AddedToken* longest_at(std::string_view rest) const;

  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // longest first
};

}  // namespace sgrpo::tokenizer
