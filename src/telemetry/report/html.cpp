#include "telemetry/report/html.h"

#include <cmath>
#include <cstdio>

#include "sgrpo/core/text.h"

namespace sgrpo::telemetry::report {
namespace {

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// "1.2e-05" -> "1.2e-5"
std::string short_exponent(std::string text) {
  const size_t sign = text.find('e') + 1;
  while (text.size() > sign + 2 && text[sign + 1] == '0') text.erase(sign + 1, 1);
  if (text[sign] == '+') text.erase(sign, 1);
  return text;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string result;
  for (const char c : core::to_valid_utf8(text)) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      case '\n':
      case '\t': result += c; break;
      default:
        // C0 controls are no characters of HTML.
        if ((c >= 0 && c < 0x20) || c == 0x7F) {
          result += "\xEF\xBF\xBD";
        } else {
          result += c;
        }
    }
  }
  return result;
}

std::string number(double value) {
  if (!std::isfinite(value)) return "–";
  const double size = std::abs(value);
  const bool whole = value == std::floor(value);
  if (size != 0.0 && (size < 1e-3 || size >= 1e9)) return short_exponent(printed("%.2e", value));
  if (size < 1000.0) {
    // Three decimals line up in a table; below 0.1 they would be too few.
    const char* format = whole ? "%.0f" : size < 0.1 ? "%.4f" : size < 10.0 ? "%.3f" : "%.1f";
    return printed(format, value);
  }
  std::string text = printed("%.0f", value);
  const size_t first = text[0] == '-' ? 1 : 0;
  for (size_t at = text.size(); at > first + 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string coordinate(double value) {
  std::string text = printed("%.1f", value);
  if (text.size() > 2 && text.compare(text.size() - 2, 2, ".0") == 0) text.resize(text.size() - 2);
  return text;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) {
      word = word << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : kAlphabet[word >> (18 - 6 * j) & 63];
    }
  }
  return text;
}

std::string anchor(std::string_view title) {
  std::string id;
  for (const char c : title) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    id += plain ? c : '-';
  }
  return id;
}

}  // namespace sgrpo::telemetry::report
