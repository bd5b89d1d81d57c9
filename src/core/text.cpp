#include "sgrpo/core/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>

#include "sgrpo/core/error.h"

namespace sgrpo::core {
namespace {

/// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

/// How far a misspelling may be from what was meant: a third of its letters; words of one or two
/// letters resemble everything.
size_t allowed_distance(size_t length) { return length < 3 ? 0 : std::max<size_t>(length / 3, 1); }

/// The value of each base64 digit, -1 for other characters.
constexpr std::array<int8_t, 256> base64_digits() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> digits{};
  digits.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    digits[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  return digits;
}
constexpr std::array<int8_t, 256> kBase64Digits = base64_digits();

/// Length of the well-formed sequence at `text`, or 0; `bad` receives the length of the maximal
/// ill-formed subpart.
size_t sequence_length(std::string_view text, size_t& bad) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  bad = 1;
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) {
      bad = i;
      return 0;
    }
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

}  // namespace

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string result;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) result += separator;
    result += part;
  }
  return result;
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const std::string& candidate : candidates) {
    const auto [shorter, longer] = std::minmax({name.size(), candidate.size()});
    const size_t allowed = allowed_distance(shorter);
    // The difference of the lengths is the least distance: a long text costs nothing.
    if (longer - shorter > allowed) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance <= allowed && distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string best = nearest(name, candidates);
  return best.empty() ? "" : str(" (did you mean '", best, "'?)");
}

bool is_valid_utf8(std::string_view bytes) {
  size_t bad = 0;
  while (!bytes.empty()) {
    const size_t length = sequence_length(bytes, bad);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size());
  while (!bytes.empty()) {
    size_t bad = 0;
    const size_t length = sequence_length(bytes, bad);
    if (length == 0) {
      result += "\xEF\xBF\xBD";
      bytes.remove_prefix(std::min(bad, bytes.size()));
    } else {
      result += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return result;
}

std::string_view binary_kind(std::string_view bytes) {
  using namespace std::string_view_literals;
  struct Kind {
    std::string_view magic, name;
    bool needs_nul = false;  // the magic may begin a text, which holds no NUL
  };
  static constexpr Kind kKinds[] = {{"\x89PNG\r\n"sv, "a PNG image"},
                                    {"\xFF\xD8\xFF"sv, "a JPEG image"},
                                    {"GIF8"sv, "a GIF image", true},
                                    {"BM"sv, "a BMP image", true},
                                    {"RIFF"sv, "a WebP image", true},
                                    {"%PDF-"sv, "a PDF document"},
                                    {"PK\3\4"sv, "a zip archive"},
                                    {"\x1F\x8B"sv, "a gzip file"},
                                    {"\x28\xB5\x2F\xFD"sv, "a zstd file"},
                                    {"\xFD\x37zXZ"sv, "an xz file"},
                                    {"PAR1"sv, "a Parquet file"},
                                    {"ARROW1"sv, "an Arrow file"},
                                    {"SQLite format 3"sv, "a SQLite database"},
                                    {"\x7F\x45LF"sv, "a program"},
                                    {"\x80\2"sv, "a Python pickle"},
                                    {"\x80\4"sv, "a Python pickle"}};
  const bool has_nul = bytes.substr(0, 512).find('\0') != std::string_view::npos;
  for (const Kind& kind : kKinds) {
    if (starts_with(bytes, kind.magic) && (has_nul || !kind.needs_nul)) return kind.name;
  }
  // Eight bytes of length before a JSON header.
  return bytes.size() > 9 && bytes.substr(8, 2) == "{\"" && has_nul ? "a safetensors file" : "";
}

std::string printable(std::string_view text, size_t limit) {
  const std::string valid = to_valid_utf8(text);
  std::string result;
  for (size_t i = 0; i < valid.size();) {
    size_t bad = 0;
    const size_t length = sequence_length(std::string_view(valid).substr(i), bad);
    if (result.size() + length > limit) return result + "...";
    const char c = valid[i];
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      constexpr std::string_view kHex = "0123456789abcdef";
      result += "\\x";
      result += kHex[static_cast<size_t>(c) >> 4 & 15];
      result += kHex[static_cast<size_t>(c) & 15];
    } else {
      result.append(valid, i, length);
    }
    i += length;
  }
  return result;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> result;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find(separator, begin);
    result.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return result;
    begin = end + 1;
  }
}

std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  size_t num_digits = 0, num_pads = 0;
  for (const char c : text) {
    if (kSpace.find(c) != kSpace.npos) continue;
    if (c == '=') {
      ++num_pads;
      continue;
    }
    const int digit = kBase64Digits[static_cast<uint8_t>(c)];
    if (digit < 0 || num_pads > 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (++num_digits % 4 == 0) {
      for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
    }
  }
  const size_t rest = num_digits % 4;  // 2 digits hold one byte, 3 hold two
  if (rest == 1 || (num_pads > 0 && rest + num_pads != 4)) return std::nullopt;
  if (rest >= 2) bytes += static_cast<char>(bits >> (rest == 2 ? 4 : 10) & 0xFF);
  if (rest == 3) bytes += static_cast<char>(bits >> 2 & 0xFF);
  return bytes;
}

}  // namespace sgrpo::core
