// The named normalisations that verifiers apply to both sides before they compare.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "verifier/params.h"

namespace sgrpo::verifier {

/// Whether a byte is part of a word: ASCII letters, digits, underscore, and all of UTF-8 beyond
/// ASCII.
inline bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// A list of normalisations, applied in the order given:
///   none         as it is (alone)
///   strip        without white space at both ends
///   lower        lower case: ASCII, Latin-1, Greek, Cyrillic
///   whitespace   every run of white space is one blank, none at the ends
///   punctuation  without ASCII punctuation
class Normalizer {
 public:
  /// Reads `params.<key>`, a name or a list of names. Throws UserError for an unknown name.
  Normalizer(const Params& params, const std::string& key, const std::vector<std::string>& names);

  std::string operator()(std::string_view text) const;

 private:
  using Step = std::string (*)(std::string_view);
  std::vector<Step> steps_;
};

/// The text without white space at both ends, as `strip` leaves it.
std::string_view stripped(std::string_view text);

/// Length in bytes of the white-space character at the start of `text` (ASCII, U+00A0, U+1680,
/// U+2000..200A, U+2028, U+2029, U+202F, U+205F, U+3000), or 0.
size_t white_space_length(std::string_view text);

}  // namespace sgrpo::verifier
