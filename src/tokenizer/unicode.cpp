#include "unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "sgrpo/core/check.h"

namespace sgrpo::tokenizer {
namespace {

struct Range {
  int32_t first;
  int32_t last;
};

// Code points that Unicode 9 did not have and that utf8proc 2.8 (Unicode 15) reorders or composes:
// under Unicode 9 each is an inert starter. tests/golden/tokenizer/unicode_tables.py prints them.
constexpr Range kYoung[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193D, 0x1193E},
    {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
    {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

// Members of `\w` (Unicode 16) beside utf8proc's (Unicode 15) letters, marks, digits and
// connectors: joiners, circled and squared letters, and what Unicode 15.1 and 16 added.
constexpr Range kWordBesides[] = {
    {0x897, 0x897},     {0x1C89, 0x1C8A},   {0x200C, 0x200D},   {0x24B6, 0x24E9},
    {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D40, 0x10D65},
    {0x10D69, 0x10D6D}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x10EFC, 0x10EFC},
    {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5},
    {0x113B7, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA},
    {0x113CC, 0x113D3}, {0x113E1, 0x113E2}, {0x116D0, 0x116E3}, {0x11BC0, 0x11BE0},
    {0x11BF0, 0x11BF9}, {0x11F5A, 0x11F5A}, {0x13460, 0x143FA}, {0x16100, 0x16139},
    {0x16D40, 0x16D6C}, {0x16D70, 0x16D79}, {0x18CFF, 0x18CFF}, {0x1CCF0, 0x1CCF9},
    {0x1E5D0, 0x1E5FA}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
    {0x2EBF0, 0x2EE5D}};

template <size_t N>
bool contains(const Range (&ranges)[N], int32_t point) {
  const auto above =
      std::upper_bound(std::begin(ranges), std::end(ranges), point, [](int32_t p, const Range& r) {
        return p < r.first;
      });
  return above != std::begin(ranges) && point <= std::prev(above)->last;
}

int combining_class(int32_t point) { return utf8proc_get_property(point)->combining_class; }

void append_utf8(int32_t point, std::string& out) {
  std::array<utf8proc_uint8_t, 4> bytes;
  const auto size = static_cast<size_t>(utf8proc_encode_char(point, bytes.data()));
  for (size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(bytes[i]));
}

// Canonical decomposition of one code point (at most 4 code points), Hangul included.
void append_decomposed(int32_t point, std::vector<int32_t>& out) {
  std::array<utf8proc_int32_t, 32> parts;
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(point, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
  SGRPO_INTERNAL(count > 0 && count <= 32, "utf8proc cannot decompose code point ", point);
  out.insert(out.end(), parts.begin(), parts.begin() + count);
}

// Sorts runs of marks: utf8proc's own sort is quadratic in the length of a run.
void order_marks(std::vector<int32_t>& points) {
  for (size_t i = 0; i < points.size();) {
    if (combining_class(points[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < points.size() && combining_class(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + static_cast<std::ptrdiff_t>(i),
                     points.begin() + static_cast<std::ptrdiff_t>(end),
                     [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

// Composes what stands between two young code points and empties `points`.
void flush(std::vector<int32_t>& points, std::string& out) {
  if (points.empty()) return;
  order_marks(points);
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto count = utf8proc_normalize_utf32(
      points.data(), static_cast<utf8proc_ssize_t>(points.size()), options);
  for (utf8proc_ssize_t i = 0; i < count; ++i) append_utf8(points[static_cast<size_t>(i)], out);
  points.clear();
}

}  // namespace

std::string to_nfc(std::string_view text) {
  // Below U+0300 (bytes CC 80) nothing combines and every character is its own NFC.
  const bool plain = std::all_of(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
  if (plain) return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::vector<int32_t> points;
  while (!text.empty()) {
    size_t size = 0;
    const int32_t point = first_point(text, size);
    text.remove_prefix(size);
    if (contains(kYoung, point)) {
      flush(points, out);
      append_utf8(point, out);
    } else {
      append_decomposed(point, points);
    }
  }
  flush(points, out);
  return out;
}

bool is_space(int32_t point) {
  return (point >= 9 && point <= 13) || point == 0x85 ||
         (point >= 0x20 && utf8proc_category(point) >= UTF8PROC_CATEGORY_ZS &&
          utf8proc_category(point) <= UTF8PROC_CATEGORY_ZP);
}

bool is_word(int32_t point) {
  switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return contains(kWordBesides, point);
  }
}

int32_t first_point(std::string_view text, size_t& size) {
  utf8proc_int32_t point = 0;
  const auto read = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()),
                                     &point);
  SGRPO_CHECK(read > 0, "expected non-empty, well-formed UTF-8");
  size = static_cast<size_t>(read);
  return point;
}

int32_t last_point(std::string_view text, size_t& size) {
  size_t start = text.size();
  while (start > 0 && (static_cast<unsigned char>(text[--start]) & 0xC0) == 0x80) {
  }
  return first_point(text.substr(start), size);
}

std::string_view young_class(char category) {
  if (category == 'N') {
    return R"(\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59})"
           R"(\x{16130}-\x{16139}\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3})"
           R"(\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA})";
  }
  return R"(\x{1C89}\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3})"
         R"(\x{10D4A}-\x{10D65}\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}\x{11240})"
         R"(\x{11380}-\x{11389}\x{1138B}\x{1138E}\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3})"
         R"(\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10}\x{11F12}-\x{11F33}\x{1342F})"
         R"(\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D}\x{16D40}-\x{16D6C})"
         R"(\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D}\x{1E4D0}-\x{1E4EB})"
         R"(\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})";
}

}  // namespace sgrpo::tokenizer
