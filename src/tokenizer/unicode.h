// Unicode facts that must agree with the libraries inside Hugging Face's `tokenizers`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sgrpo::tokenizer {

/// NFC of well-formed UTF-8 under the Unicode 9 tables that `tokenizers` normalises with. Linear
/// time but for the sort of a run of combining marks.
std::string to_nfc(std::string_view text);

/// White_Space, the `\s` of the Rust crate `regex`.
bool is_space(int32_t point);

/// The `\w` of the Rust crate `regex`: Alphabetic, marks, decimal digits, connectors, joiners.
bool is_word(int32_t point);

/// The first code point of non-empty well-formed UTF-8; `size` receives its length in bytes.
int32_t first_point(std::string_view text, size_t& size);

/// The last code point of non-empty well-formed UTF-8; `size` receives its length in bytes.
int32_t last_point(std::string_view text, size_t& size);

/// Ranges, as the inside of a PCRE2 class, of the letters (`'L'`) or numbers (`'N'`) that Unicode
/// 15 and 16 added: PCRE2 10.42 knows Unicode 14, the expressions of `tokenizers` Unicode 16.
std::string_view young_class(char category);

}  // namespace sgrpo::tokenizer
