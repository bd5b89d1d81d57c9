#include "telemetry/width.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "sgrpo/core/text.h"

namespace sgrpo::telemetry {
namespace {

struct Range {
  char32_t first, last;
};

// The blocks that matter on a terminal, from EastAsianWidth.txt (W, F) and the emoji presentation
// list; sorted.
constexpr std::array kWide = {
    Range{0x1100, 0x115F},   Range{0x231A, 0x231B},   Range{0x23E9, 0x23EC},
    Range{0x25FD, 0x25FE},   Range{0x2614, 0x2615},   Range{0x2648, 0x2653},
    Range{0x26A1, 0x26A1},   Range{0x26BD, 0x26BE},   Range{0x2705, 0x2705},
    Range{0x274C, 0x274C},   Range{0x2753, 0x2755},   Range{0x2795, 0x2797},
    Range{0x2B50, 0x2B50},   Range{0x2E80, 0x303E},   Range{0x3041, 0x33FF},
    Range{0x3400, 0x4DBF},   Range{0x4E00, 0x9FFF},   Range{0xA000, 0xA4CF},
    Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},
    Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},
    Range{0x17000, 0x18CFF}, Range{0x1B000, 0x1B2FF}, Range{0x1F300, 0x1F64F},
    Range{0x1F680, 0x1F6FF}, Range{0x1F7E0, 0x1F7EB}, Range{0x1F900, 0x1F9FF},
    Range{0x1FA70, 0x1FAFF}, Range{0x20000, 0x3FFFD}};

// Combining marks, joiners, variation selectors and direction marks; sorted.
constexpr std::array kZero = {
    Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD},   Range{0x0610, 0x061A},
    Range{0x064B, 0x065F}, Range{0x06D6, 0x06DC}, Range{0x0900, 0x0902},   Range{0x093C, 0x093C},
    Range{0x0941, 0x0948}, Range{0x094D, 0x094D}, Range{0x0E31, 0x0E31},   Range{0x0E34, 0x0E3A},
    Range{0x0E47, 0x0E4E}, Range{0x1AB0, 0x1AFF}, Range{0x1DC0, 0x1DFF},   Range{0x200B, 0x200F},
    Range{0x202A, 0x202E}, Range{0x2060, 0x2069}, Range{0x20D0, 0x20FF},   Range{0xFE00, 0xFE0F},
    Range{0xFE20, 0xFE2F}, Range{0xFEFF, 0xFEFF}, Range{0x1F3FB, 0x1F3FF}, Range{0xE0100, 0xE01EF}};

template <size_t N>
bool contains(const std::array<Range, N>& ranges, char32_t code) {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), code, [](char32_t c, const Range& r) { return c < r.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

/// The code point at the front of well-formed `text`; removes its bytes.
char32_t take_code_point(std::string_view& text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3Fu);
  text.remove_prefix(length);
  return code;
}

}  // namespace

size_t code_point_width(char32_t code) {
  if (code < 0x300) return 1;
  if (contains(kZero, code)) return 0;
  return contains(kWide, code) ? 2 : 1;
}

size_t display_width(std::string_view text) {
  const std::string valid = core::to_valid_utf8(text);
  size_t width = 0;
  for (std::string_view rest = valid; !rest.empty();) {
    width += code_point_width(take_code_point(rest));
  }
  return width;
}

std::string cut_to_width(std::string_view text, size_t columns) {
  std::string valid = core::to_valid_utf8(text);
  if (display_width(valid) <= columns) return valid;
  if (columns == 0) return "";
  size_t width = 0, bytes = 0;
  for (std::string_view rest = valid; !rest.empty();) {
    width += code_point_width(take_code_point(rest));
    if (width > columns - 1) break;
    bytes = valid.size() - rest.size();
  }
  valid.resize(bytes);
  return valid + "…";
}

std::string fit_to_width(std::string_view text, size_t columns, bool right) {
  const std::string cut = cut_to_width(text, columns);
  const std::string padding(columns - std::min(columns, display_width(cut)), ' ');
  return right ? padding + cut : cut + padding;
}

}  // namespace sgrpo::telemetry
