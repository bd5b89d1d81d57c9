#include "verifier/number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

namespace sgrpo::verifier {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

char at(std::string_view text, size_t index) { return index < text.size() ? text[index] : '\0'; }

__int128 greatest_common_divisor(__int128 a, __int128 b) {
  while (b != 0) {
    const __int128 rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

/// 10^exponent, or nothing on overflow.
std::optional<__int128> power_of_ten(int64_t exponent) {
  constexpr int64_t kLargest = 38;  // 10^38 < 2^127
  if (exponent > kLargest) return std::nullopt;
  __int128 result = 1;
  for (int64_t i = 0; i < exponent; ++i) result *= 10;
  return result;
}

size_t skip_digits(std::string_view text, size_t i) {
  while (is_digit(at(text, i))) ++i;
  return i;
}

/// End of "1,234,567" after its first one to three digits, which start at `begin`.
size_t skip_thousands(std::string_view text, size_t begin, size_t end) {
  if (end - begin > 3 || text[begin] == '0') return end;
  while (at(text, end) == ',' && skip_digits(text, end + 1) == end + 4) end += 4;
  return end;
}

std::string text_of(__int128 value) {
  std::string digits;
  for (unsigned __int128 left = value < 0 ? -static_cast<unsigned __int128>(value)
                                          : static_cast<unsigned __int128>(value);
       digits.empty() || left != 0;
       left /= 10) {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(left % 10)));
  }
  return value < 0 ? "-" + digits : digits;
}

/// How often `factor` divides `value`; `value` receives the rest.
int64_t divide_out(__int128& mutable_value, int factor) {
  int64_t count = 0;
  for (; mutable_value % factor == 0; ++count) mutable_value /= factor;
  return count;
}

constexpr std::string_view kMinus = "\xE2\x88\x92";  // U+2212

}  // namespace

Number::Number(__int128 integer) : numerator_(integer) {}

Number Number::inexact(long double value) {
  Number result;
  result.is_exact_ = false;
  result.value_ = value;
  return result;
}

Number Number::reduced(__int128 numerator, __int128 denominator) {
  constexpr __int128 kLowest = static_cast<__int128>(static_cast<unsigned __int128>(1) << 127);
  if (numerator == kLowest) {  // has no negation
    return inexact(static_cast<long double>(numerator) / static_cast<long double>(denominator));
  }
  const __int128 divisor = greatest_common_divisor(numerator, denominator);
  Number result;
  result.numerator_ = numerator / divisor;
  result.denominator_ = denominator / divisor;
  return result;
}

std::optional<Number> Number::from_decimal(std::string_view text) {
  __int128 mantissa = 0;
  int64_t exponent = 0, num_digits = 0;
  bool is_exact = true, has_point = false;
  size_t i = 0;
  for (; i < text.size() && (is_digit(text[i]) || (text[i] == '.' && !has_point)); ++i) {
    if (text[i] == '.') {
      has_point = true;
      continue;
    }
    ++num_digits;
    exponent -= has_point;
    is_exact = is_exact && !__builtin_mul_overflow(mantissa, __int128{10}, &mantissa) &&
               !__builtin_add_overflow(mantissa, __int128{text[i] - '0'}, &mantissa);
  }
  if (num_digits == 0) return std::nullopt;
  if (i < text.size()) {
    int64_t written = 0;
    const size_t first = i + 1 + (at(text, i + 1) == '+');
    const auto [end, error] =
        std::from_chars(text.data() + first, text.data() + text.size(), written);
    const bool is_exponent = (text[i] == 'e' || text[i] == 'E') && first < text.size();
    if (!is_exponent || error != std::errc() || end != text.data() + text.size()) {
      return std::nullopt;
    }
    if (written > 100'000 || written < -100'000) return std::nullopt;
    exponent += written;
  }
  if (is_exact && mantissa == 0) return Number(0);
  const auto scale = power_of_ten(std::abs(exponent));
  __int128 scaled = 0;
  if (is_exact && scale && exponent <= 0) return reduced(mantissa, *scale);
  if (is_exact && scale && !__builtin_mul_overflow(mantissa, *scale, &scaled))
    return Number(scaled);
  long double value = 0.0L;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return inexact(value);
}

Number Number::from_double(double value) {
  std::array<char, 64> buffer{};
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value));
  const std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const auto result = from_decimal(text);
  const Number magnitude = result ? *result : inexact(std::abs(value));
  return value < 0 ? magnitude.negated() : magnitude;
}

std::string Number::fraction_text() const {
  if (!is_exact_) return decimal_text();
  return denominator_ == 1 ? text_of(numerator_)
                           : text_of(numerator_) + "/" + text_of(denominator_);
}

std::string Number::decimal_text() const {
  if (!is_exact_) {
    std::array<char, 64> buffer{};
    const char* const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value_).ptr;
    return std::string(buffer.begin(), std::find(buffer.begin(), buffer.end(), *end));
  }
  __int128 rest = denominator_, scaled = 0;
  const int64_t num_digits = std::max(divide_out(rest, 2), divide_out(rest, 5));
  const auto scale = power_of_ten(num_digits);
  if (rest != 1 || !scale || __builtin_mul_overflow(numerator_, *scale / denominator_, &scaled)) {
    return fraction_text();
  }
  if (num_digits == 0) return text_of(scaled);
  std::string digits = text_of(scaled < 0 ? -scaled : scaled);
  const auto count = static_cast<size_t>(num_digits);
  if (digits.size() <= count) digits.insert(0, count + 1 - digits.size(), '0');
  digits.insert(digits.size() - count, ".");
  return scaled < 0 ? "-" + digits : digits;
}

long double Number::approximate() const {
  if (!is_exact_) return value_;
  return static_cast<long double>(numerator_) / static_cast<long double>(denominator_);
}

Number Number::negated() const {
  Number result = *this;
  result.numerator_ = -numerator_;
  result.value_ = -value_;
  return result;
}

Number Number::plus(const Number& other) const {
  __int128 left = 0, right = 0, sum = 0, denominator = 0;
  if (is_exact_ && other.is_exact_ &&
      !__builtin_mul_overflow(numerator_, other.denominator_, &left) &&
      !__builtin_mul_overflow(other.numerator_, denominator_, &right) &&
      !__builtin_add_overflow(left, right, &sum) &&
      !__builtin_mul_overflow(denominator_, other.denominator_, &denominator)) {
    return reduced(sum, denominator);
  }
  return inexact(approximate() + other.approximate());
}

Number Number::times(const Number& other) const {
  __int128 numerator = 0, denominator = 0;
  if (is_exact_ && other.is_exact_ &&
      !__builtin_mul_overflow(numerator_, other.numerator_, &numerator) &&
      !__builtin_mul_overflow(denominator_, other.denominator_, &denominator)) {
    return reduced(numerator, denominator);
  }
  return inexact(approximate() * other.approximate());
}

std::optional<Number> Number::divided_by(const Number& other) const {
  if (other.is_zero()) return std::nullopt;
  if (!other.is_exact_) return inexact(approximate() / other.value_);
  const bool is_negative = other.numerator_ < 0;
  Number inverse;
  inverse.numerator_ = is_negative ? -other.denominator_ : other.denominator_;
  inverse.denominator_ = is_negative ? -other.numerator_ : other.numerator_;
  return times(inverse);
}

bool Number::operator==(const Number& other) const {
  if (is_exact_ && other.is_exact_) {
    return numerator_ == other.numerator_ && denominator_ == other.denominator_;
  }
  return approximate() == other.approximate();
}

bool Number::operator<=(const Number& other) const {
  __int128 left = 0, right = 0;
  if (is_exact_ && other.is_exact_ &&
      !__builtin_mul_overflow(numerator_, other.denominator_, &left) &&
      !__builtin_mul_overflow(other.numerator_, denominator_, &right)) {
    return left <= right;
  }
  return approximate() <= other.approximate();
}

bool Tolerance::accepts(const Number& answer, const Number& expected) const {
  if (answer == expected) return true;
  const Number distance = answer.plus(expected.negated()).absolute();
  if (distance.is_zero()) return false;  // different, but their distance underflows
  return distance <= absolute || distance <= relative.times(expected.absolute());
}

std::optional<Number> read_unsigned(std::string_view text, size_t begin, size_t& mutable_end) {
  const size_t first_end = skip_digits(text, begin);
  size_t end = first_end == begin ? begin : skip_thousands(text, begin, first_end);
  std::string digits;
  for (const char c : text.substr(begin, end - begin)) {
    if (c != ',') digits += c;
  }
  if (at(text, end) == '.' && is_digit(at(text, end + 1))) {
    const size_t fraction_end = skip_digits(text, end + 1);
    digits += text.substr(end, fraction_end - end);
    end = fraction_end;
  }
  if (digits.empty()) return std::nullopt;
  if (at(text, end) == 'e' || at(text, end) == 'E') {
    const size_t sign = at(text, end + 1) == '-' || at(text, end + 1) == '+';
    const size_t exponent_end = skip_digits(text, end + 1 + sign);
    if (exponent_end > end + 1 + sign && !is_letter(at(text, exponent_end))) {
      digits += text.substr(end, exponent_end - end);
      end = exponent_end;
    }
  }
  mutable_end = end;
  return Number::from_decimal(digits);
}

namespace {

/// Extends a number by "/ 4" and "%".
void read_tail(std::string_view text, NumberToken& mutable_token) {
  size_t end = mutable_token.end;
  if (at(text, end) == '/' && is_digit(at(text, end + 1))) {
    size_t fraction_end = 0;
    const auto divisor = read_unsigned(text, end + 1, fraction_end);
    const auto quotient = divisor ? mutable_token.value.divided_by(*divisor) : std::nullopt;
    if (quotient) {
      mutable_token.value = *quotient;
      mutable_token.end = end = fraction_end;
    }
  }
  while (at(text, end) == ' ' || at(text, end) == '\\') ++end;
  if (at(text, end) != '%') return;
  mutable_token.is_percent = true;
  mutable_token.end = end + 1;
}

/// Length of a minus or plus sign that ends at `end`, if it is a sign and no operator or hyphen.
size_t sign_length(std::string_view text, size_t end) {
  size_t length = 0;
  if (end >= 1 && (text[end - 1] == '-' || text[end - 1] == '+')) length = 1;
  if (end >= 3 && text.substr(end - 3, 3) == kMinus) length = 3;
  if (length == 0 || end == length) return length;
  const char before = text[end - length - 1];
  const bool is_operator = is_digit(before) || is_letter(before) || before == ')' || before == '}';
  return is_operator ? 0 : length;
}

}  // namespace

std::optional<NumberToken> find_number(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    const bool starts = is_digit(text[i]) || (text[i] == '.' && is_digit(at(text, i + 1)));
    if (!starts) continue;
    const char before = i > from ? text[i - 1] : '\0';
    size_t end = 0;
    const auto value = read_unsigned(text, i, end);
    const size_t sign = i > from ? sign_length(text, i) : 0;
    if (value && (sign > 0 || !(is_letter(before) || is_digit(before)))) {
      const bool is_negative = sign == 3 || (sign == 1 && before == '-');
      NumberToken token{is_negative ? value->negated() : *value, i - sign, end, false};
      read_tail(text, token);
      return token;
    }
    // A glued number ends with its digits; an unreadable one is passed whole, or the search would
    // be quadratic in a long run of digits.
    i = (value ? std::max(skip_digits(text, i), i + 1) : std::max(end, i + 1)) - 1;
  }
  return std::nullopt;
}

Position position_from(std::string_view name) {
  if (name == "first") return Position::kFirst;
  return name == "only" ? Position::kOnly : Position::kLast;
}

std::optional<NumberToken> pick_number(std::string_view text, Position position) {
  auto token = find_number(text);
  if (!token || position == Position::kFirst) return token;
  auto next = find_number(text, token->end);
  if (position == Position::kOnly) return next ? std::nullopt : token;
  for (; next; next = find_number(text, token->end)) token = next;
  return token;
}

}  // namespace sgrpo::verifier
