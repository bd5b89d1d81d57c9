// Small text helpers: nearest name, joining, UTF-8 validity.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sgrpo::core {

/// Whether `part` occurs in `text`.
inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// `a, b, c` for separator ", ".
std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// The candidate with the smallest edit distance to `name`, a swap of neighbours counting 1; "" if
/// none is within a third of the letters (names of one or two letters are near nothing).
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// ` (did you mean 'x'?)`, or "" if nothing is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

/// Whether the bytes are well-formed UTF-8 (no overlong forms, no surrogates).
bool is_valid_utf8(std::string_view bytes);

/// The bytes with every ill-formed sequence replaced by U+FFFD (maximal subparts, as the Unicode
/// standard advises).
std::string to_valid_utf8(std::string_view bytes);

/// "a PNG image", "a gzip file", ... for bytes that begin like a well-known binary format, else "".
std::string_view binary_kind(std::string_view bytes);

/// Text for one line of a terminal or message: control characters escaped, cut to `limit` bytes at
/// a character.
std::string printable(std::string_view text, size_t limit = 80);

/// Whether `text` begins with `prefix`.
inline bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

/// Whether `text` ends with `suffix`.
inline bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

/// Without leading and trailing ASCII white space.
std::string_view trim(std::string_view text);

/// The pieces between separators; "a,,b" gives three.
std::vector<std::string> split(std::string_view text, char separator);

/// The bytes of a base64 text (RFC 4648), white space between its characters and missing padding
/// allowed; nothing for any other text.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace sgrpo::core
