#include "verifier/normalize.h"

#include <array>
#include <cstdint>
#include <utility>

#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

bool is_ascii_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

std::string strip(std::string_view text) { return std::string(stripped(text)); }

std::string collapse_white_space(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    if (const size_t length = white_space_length(text.substr(i))) {
      if (!result.empty() && result.back() != ' ') result += ' ';
      i += length;
    } else {
      result += text[i++];
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

/// Lower case of a two-byte code point; every upper-case letter of these blocks maps to two bytes.
uint32_t lower_code_point(uint32_t c) {
  if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 0x20;     // Latin-1
  if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 0x20;  // Greek
  if (c >= 0x410 && c <= 0x42F) return c + 0x20;                // Cyrillic
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;                // Cyrillic extensions
  return c;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<uint8_t>(result[i]);
    if (byte >= 'A' && byte <= 'Z') {
      result[i] = static_cast<char>(byte + 0x20);
    } else if (byte >= 0xC2 && byte <= 0xDF && i + 1 < result.size() &&
               (static_cast<uint8_t>(result[i + 1]) & 0xC0) == 0x80) {
      const uint32_t point =
          lower_code_point((byte & 0x1FU) << 6 | (static_cast<uint8_t>(result[i + 1]) & 0x3FU));
      result[i] = static_cast<char>(0xC0 | point >> 6);
      result[++i] = static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return result;
}

std::string drop_punctuation(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (!is_ascii_punctuation(c)) result += c;
  }
  return result;
}

using Step = std::string (*)(std::string_view);
constexpr std::array<std::pair<std::string_view, Step>, 5> kSteps{
    {{"none", nullptr},
     {"strip", strip},
     {"lower", lower},
     {"whitespace", collapse_white_space},
     {"punctuation", drop_punctuation}}};

}  // namespace

std::string_view stripped(std::string_view text) {
  while (const size_t length = white_space_length(text)) text.remove_prefix(length);
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (size_t length = 1; length <= 3 && length <= text.size(); ++length) {
      if (white_space_length(text.substr(text.size() - length)) != length) continue;
      text.remove_suffix(length);
      is_changed = true;
      break;
    }
  }
  return text;
}

size_t white_space_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  if (byte(0) == ' ' || (byte(0) >= 0x09 && byte(0) <= 0x0D)) return 1;
  if (byte(0) == 0xC2) return byte(1) == 0xA0 || byte(1) == 0x85 ? 2 : 0;
  if (byte(0) == 0xE1) return byte(1) == 0x9A && byte(2) == 0x80 ? 3 : 0;
  if (byte(0) == 0xE3) return byte(1) == 0x80 && byte(2) == 0x80 ? 3 : 0;
  if (byte(0) != 0xE2) return 0;
  if (byte(1) == 0x81) return byte(2) == 0x9F ? 3 : 0;
  const bool is_space =
      (byte(2) >= 0x80 && byte(2) <= 0x8A) || byte(2) == 0xA8 || byte(2) == 0xA9 || byte(2) == 0xAF;
  return byte(1) == 0x80 && is_space ? 3 : 0;
}

Normalizer::Normalizer(const Params& params,
                       const std::string& key,
                       const std::vector<std::string>& names) {
  const std::vector<std::string> chosen = params.texts(key, names);
  std::vector<std::string> known;
  for (const auto& [name, step] : kSteps) known.emplace_back(name);
  for (const std::string& name : chosen) {
    size_t index = 0;
    while (index < kSteps.size() && kSteps[index].first != name) ++index;
    if (index == kSteps.size()) {
      throw core::UserError(core::str(params.path(key),
                                      ": unknown normalisation '",
                                      core::printable(name),
                                      "'",
                                      core::did_you_mean(name, known),
                                      "; known: ",
                                      core::join(known, ", ")));
    }
    if (name == "none" && chosen.size() > 1) {
      throw core::UserError(core::str(params.path(key), ": 'none' must stand alone"));
    }
    if (kSteps[index].second != nullptr) steps_.push_back(kSteps[index].second);
  }
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string result(text);
  for (const Step step : steps_) result = step(result);
  return result;
}

}  // namespace sgrpo::verifier
