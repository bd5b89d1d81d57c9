// Numbers as people write them, exact: fractions of 128-bit integers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sgrpo::verifier {

/// A reduced fraction, or (where 128 bits do not suffice) its nearest long double.
class Number {
 public:
  Number() = default;
  explicit Number(__int128 integer);

  /// Digits with an optional fraction and exponent, "12", ".5", "1.25e-3"; no sign, no separators.
  /// Nothing if it is no such text or too large for a long double.
  static std::optional<Number> from_decimal(std::string_view text);
  /// The shortest decimal that reads back as `value` (a tolerance of 0.3 is meant as 3/10).
  static Number from_double(double value);

  Number negated() const;
  Number plus(const Number& other) const;
  Number times(const Number& other) const;
  /// Nothing if `other` is zero.
  std::optional<Number> divided_by(const Number& other) const;
  Number absolute() const { return approximate() < 0 ? negated() : *this; }

  bool is_integer() const { return is_exact_ && denominator_ == 1; }
  bool is_zero() const { return is_exact_ ? numerator_ == 0 : value_ == 0.0L; }
  long double approximate() const;
  /// The shortest decimal, "2.5"; the fraction where no decimal ends; "1e+40" where 128 bits do not
  /// suffice.
  std::string decimal_text() const;
  /// "3/4", "-7", or as decimal_text where 128 bits do not suffice.
  std::string fraction_text() const;
  /// Exact comparison where both sides are exact.
  bool operator==(const Number& other) const;
  bool operator<=(const Number& other) const;

 private:
  static Number inexact(long double value);
  static Number reduced(__int128 numerator, __int128 denominator);

  bool is_exact_ = true;
  __int128 numerator_ = 0, denominator_ = 1;  // lowest terms, denominator > 0
  long double value_ = 0.0L;                  // used if not exact
};

/// How far a number may be from the ground truth's: |x - g| <= max(absolute, relative * |g|).
struct Tolerance {
  Number absolute, relative;
  bool accepts(const Number& answer, const Number& expected) const;
};

/// A number found in running text.
struct NumberToken {
  Number value;  // 50% is 50 here
  size_t begin = 0, end = 0;
  bool is_percent = false;
};

/// The first number at or after `from`: optional sign, thousands separators (1,234,567), decimals,
/// exponent, fraction (3/4), percent sign. Digits glued to a letter before them ("K8") are none.
std::optional<NumberToken> find_number(std::string_view text, size_t from = 0);

/// The number that starts exactly at `at` without a sign; `end` receives where it stops.
std::optional<Number> read_unsigned(std::string_view text, size_t at, size_t& mutable_end);

/// Which of a text's numbers is the answer; names of the parameter `position`.
enum class Position { kFirst, kLast, kOnly };
Position position_from(std::string_view name);

/// The answering number: the first, the last, or nothing if `kOnly` finds several.
std::optional<NumberToken> pick_number(std::string_view text, Position position);

}  // namespace sgrpo::verifier
