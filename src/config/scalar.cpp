#include "config/scalar.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Number of leading digits.
size_t count_digits(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  return count;
}

/// The core schema's [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool looks_like_number(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const size_t whole = count_digits(text);
  text.remove_prefix(whole);
  size_t fraction = 0;
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    fraction = count_digits(text);
    text.remove_prefix(fraction);
  }
  if (whole + fraction == 0) return false;
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return !text.empty() && count_digits(text) == text.size();
}

template <class T>
std::optional<T> convert(std::string_view text, int base = 10) {
  T value{};
  std::from_chars_result result{};
  if constexpr (std::is_integral_v<T>) {
    result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  } else {
    result = std::from_chars(text.data(), text.data() + text.size(), value);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_plain_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
         c == '.' || c == '/' || c == '+' || c == '@' || c == '%' || c == '=' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// Words that older YAML readers take for booleans.
bool is_old_boolean(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return lower == "yes" || lower == "no" || lower == "on" || lower == "off" || lower == "y" ||
         lower == "n";
}

/// Letters, digits and marks that no YAML reader takes for anything but text.
bool is_plain(std::string_view text) {
  if (is_null_text(text) || read_bool(text) || is_old_boolean(text)) return false;
  const bool is_relative = core::starts_with(text, "./") || core::starts_with(text, "../");
  const char first = text.front();
  const bool is_word = std::isalpha(static_cast<unsigned char>(first)) != 0 || first == '_' ||
                       first == '/' || static_cast<unsigned char>(first) >= 0x80;
  return (is_word || is_relative) && std::all_of(text.begin(), text.end(), is_plain_character);
}

}  // namespace

bool is_null_text(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

std::optional<bool> read_bool(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::optional<int64_t> read_int(std::string_view text) {
  if (core::starts_with(text, "0x")) return convert<int64_t>(text.substr(2), 16);
  if (core::starts_with(text, "0o")) return convert<int64_t>(text.substr(2), 8);
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return std::nullopt;
  }
  return convert<int64_t>(text);
}

std::optional<double> read_double(std::string_view text) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (const auto integer = read_int(text)) return static_cast<double>(*integer);
  if (text == ".inf" || text == ".Inf" || text == ".INF") return kInfinity;
  if (text == "+.inf" || text == "+.Inf" || text == "+.INF") return kInfinity;
  if (text == "-.inf" || text == "-.Inf" || text == "-.INF") return -kInfinity;
  if (text == ".nan" || text == ".NaN" || text == ".NAN") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (!looks_like_number(text)) return std::nullopt;
  if (text[0] == '+') text.remove_prefix(1);
  return convert<double>(text);
}

std::string write_double(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, result.ptr);
  // "1.0e-6", not "1e-06": YAML 1.1 readers (PyYAML) take the latter for text.
  const size_t e = text.find('e');
  if (e == std::string::npos) return text;
  const size_t digits = text.find_first_not_of('0', e + 2);
  const std::string mantissa = text.substr(0, e);
  return mantissa + (mantissa.find('.') == std::string::npos ? ".0e" : "e") + text[e + 1] +
         text.substr(digits);
}

std::string write_string(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (result += '\\') += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      ((result += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string write_json(const core::Json& value) {
  if (value.is_string()) return write_string(value.get_ref<const std::string&>());
  if (value.is_number_float()) {
    const std::string text = write_double(value.get<double>());
    // A fraction stays a fraction when it is read again.
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const core::Json& item : value) parts.push_back(write_json(item));
    return "[" + core::join(parts, ", ") + "]";
  }
  if (value.is_object()) {
    std::vector<std::string> parts;
    for (const auto& [key, item] : value.items()) {
      parts.push_back(write_string(key) + ": " + write_json(item));
    }
    return "{" + core::join(parts, ", ") + "}";
  }
  return value.dump();
}

}  // namespace sgrpo::config
