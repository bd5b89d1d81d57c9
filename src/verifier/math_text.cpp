#include "verifier/math_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxWordBytes = 256;  // inside \text{...}

/// One past the brace that closes the one at `open`, or npos.
size_t closing_brace(std::string_view text, size_t open) {
  int64_t depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    depth += (text[i] == '{') - (text[i] == '}');
    if (depth == 0) return i + 1;
  }
  return std::string_view::npos;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

/// Longest first where one begins another.
constexpr std::array<std::pair<std::string_view, std::string_view>, 28> kReplacements{{
    {"\\dfrac", "\\frac"}, {"\\tfrac", "\\frac"},
    {"\\cfrac", "\\frac"}, {"\\displaystyle", ""},
    {"\\left", ""},        {"\\right", ""},
    {"\\cdot", "*"},       {"\\times", "*"},
    {"\xC3\x97", "*"},  // U+00D7
    {"^{\\circ}", ""},     {"^\\circ", ""},
    {"\\degree", ""},      {"\xC2\xB0", ""},  // U+00B0
    {"\\$", ""},           {"$", ""},
    {"\xE2\x82\xAC", ""},  // euro
    {"\xC2\xA3", ""},      // pound
    {"\\(", ""},           {"\\)", ""},
    {"\\[", ""},           {"\\]", ""},
    {"\\,", ""},           {"\\!", ""},
    {"\\;", " "},          {"\\ ", " "},
    {"{,}", ","},          {"\xE2\x88\x92", "-"},
    {"\xC2\xA0", " "},  // U+2212, U+00A0
}};

/// Reads one value of a cleaned text; every method advances `i_` only if it succeeds.
class Reader {
 public:
  Reader(std::string_view text, size_t begin) : text_(text), i_(begin) {}

  size_t position() const { return i_; }
  char peek() const { return i_ < text_.size() ? text_[i_] : '\0'; }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n') ++i_;
  }

  /// sign? magnitude percent?
  std::optional<Number> value(int depth = 0) {
    const size_t start = i_;
    const bool is_negative = peek() == '-';
    if (peek() == '-' || peek() == '+') ++i_;
    skip_blanks();
    auto result = magnitude(depth);
    if (!result) {
      i_ = start;
      return std::nullopt;
    }
    if (is_negative) result = result->negated();
    return percent(scaled(*result));
  }

 private:
  bool take(std::string_view word) {
    if (text_.substr(i_, word.size()) != word) return false;
    i_ += word.size();
    return true;
  }

  std::optional<Number> magnitude(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    if (auto fraction = frac(depth)) return fraction;
    auto whole = number_or_group(depth);
    if (!whole) return std::nullopt;
    if (auto quotient = slash(*whole, depth)) return quotient;
    return whole->is_integer() ? mixed(*whole, depth) : whole;
  }

  /// Digits, or a value in parentheses or braces.
  std::optional<Number> number_or_group(int depth) {
    const size_t start = i_;
    if (peek() == '(' || peek() == '{') {
      const char close = peek() == '(' ? ')' : '}';
      ++i_;
      const auto inside = value(depth + 1);
      skip_blanks();
      if (inside && peek() == close) {
        ++i_;
        return inside;
      }
      i_ = start;
      return std::nullopt;
    }
    return read_unsigned(text_, i_, i_);
  }

  /// \frac{a}{b}, \frac12
  std::optional<Number> frac(int depth) {
    const size_t start = i_;
    if (take("\\frac")) {
      const auto top = argument(depth);
      const auto bottom = top ? argument(depth) : std::nullopt;
      const auto result = bottom ? top->divided_by(*bottom) : std::nullopt;
      if (result) return result;
    }
    i_ = start;
    return std::nullopt;
  }

  std::optional<Number> argument(int depth) {
    skip_blanks();
    if (peek() == '{') return number_or_group(depth);
    if (peek() < '0' || peek() > '9') return std::nullopt;
    return Number(text_[i_++] - '0');
  }

  /// "a / b" after its a.
  std::optional<Number> slash(const Number& top, int depth) {
    const size_t start = i_;
    skip_blanks();
    if (take("/")) {
      skip_blanks();
      const auto bottom = number_or_group(depth);
      const auto result = bottom ? top.divided_by(*bottom) : std::nullopt;
      if (result) return result;
    }
    i_ = start;
    return std::nullopt;
  }

  /// "1 1/2" and "1\frac{1}{2}" after their whole part.
  std::optional<Number> mixed(const Number& whole, int depth) {
    const size_t start = i_;
    skip_blanks();
    const bool has_gap = i_ > start;
    if (const auto part = frac(depth)) return whole.plus(*part);
    if (has_gap) {
      const auto top = read_unsigned(text_, i_, i_);
      const auto part = top ? slash(*top, depth) : std::nullopt;
      if (part) return whole.plus(*part);
    }
    i_ = start;
    return whole;
  }

  /// "* 10^{-3}" after its mantissa.
  Number scaled(const Number& mantissa) {
    const size_t start = i_;
    skip_blanks();
    if (take("*")) {
      skip_blanks();
      if (take("10^")) {
        const bool has_brace = take("{");
        std::string exponent = take("-") ? "1e-" : "1e";
        while (peek() >= '0' && peek() <= '9') exponent += text_[i_++];
        const auto power = Number::from_decimal(exponent);
        if (power && (!has_brace || take("}"))) return mantissa.times(*power);
      }
    }
    i_ = start;
    return mantissa;
  }

  Number percent(const Number& number) {
    const size_t start = i_;
    skip_blanks();
    if (take("\\%") || take("%")) return number.times(*Number(1).divided_by(Number(100)));
    i_ = start;
    return number;
  }

  std::string_view text_;
  size_t i_;
};

/// A unit after a number: blank, then letters, blanks and exponents ("cm", "square feet", "cm^2").
bool is_unit(std::string_view rest) {
  if (rest.empty()) return true;
  if (rest.front() != ' ') return false;
  for (const char c : core::trim(rest)) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_letter && c != ' ' && c != '^' && c != '2' && c != '3' && c != '.') return false;
  }
  return true;
}

TextSpan span_between(size_t begin, size_t end) {
  return {.begin = static_cast<int64_t>(begin), .end = static_cast<int64_t>(end)};
}

/// Adds bytes that stand for one place of the source.
void append(MathText& mutable_text, std::string_view bytes, TextSpan place) {
  mutable_text.text += bytes;
  mutable_text.places.insert(mutable_text.places.end(), bytes.size(), place);
}

/// Without \text{...}, \mathrm{...}, \textbf{...}: units and words.
MathText without_words(std::string_view text) {
  MathText result;
  bool is_blank = true;
  for (size_t i = 0; i < text.size();) {
    size_t open = std::string_view::npos;
    for (const std::string_view word : {"\\text{", "\\textrm{", "\\mathrm{", "\\mbox{"}) {
      if (text.substr(i, word.size()) == word) open = i + word.size() - 1;
    }
    const size_t end = open == std::string_view::npos
                           ? open
                           : closing_brace(text.substr(0, open + kMaxWordBytes), open);
    if (end == std::string_view::npos) {
      is_blank = is_blank && text[i] == ' ';
      append(result, text.substr(i, 1), span_between(i, i + 1));
      ++i;
      continue;
    }
    // A bare word is the answer itself: \boxed{\text{yes}}.
    for (size_t at = open + 1; is_blank && at + 1 < end; ++at)
      append(result, text.substr(at, 1), span_between(at, at + 1));
    i = end;
  }
  return result;
}

}  // namespace

std::optional<std::string_view> boxed_answer(std::string_view text) {
  // Backwards, the text ending at the last unclosed box: every byte is looked at a few times only.
  for (size_t open = text.size(); open-- > 0;) {
    const std::string_view before = text.substr(0, open);
    if (text[open] != '{' || !(ends_with(before, "\\boxed") || ends_with(before, "\\fbox")))
      continue;
    const size_t end = closing_brace(text, open);
    if (end != std::string_view::npos) return text.substr(open + 1, end - open - 2);
    text = before;
  }
  return std::nullopt;
}

std::string_view after_hashes(std::string_view text) {
  const size_t mark = text.rfind("####");
  if (mark == std::string_view::npos) return text;
  text.remove_prefix(mark + 4);
  const std::string_view trimmed = core::trim(text);
  return trimmed.substr(0, trimmed.find('\n'));
}

MathText clean_math(std::string_view text) {
  const MathText source = without_words(text);
  MathText result;
  for (size_t i = 0; i < source.text.size();) {
    const std::string_view rest = std::string_view(source.text).substr(i);
    const std::pair<std::string_view, std::string_view>* found = nullptr;
    for (const auto& replacement : kReplacements) {
      if (core::starts_with(rest, replacement.first)) found = &replacement;
      if (found != nullptr) break;
    }
    const size_t length = found == nullptr ? 1 : found->first.size();
    append(
        result, found == nullptr ? rest.substr(0, 1) : found->second, source.source(i, i + length));
    i += length;
  }
  std::string_view trimmed = core::trim(result.text);
  while (!trimmed.empty() && trimmed.back() == '.')
    trimmed = core::trim(trimmed.substr(0, trimmed.size() - 1));
  if (trimmed.empty()) return {};
  const auto begin = trimmed.data() - result.text.data();
  const auto end = begin + static_cast<std::ptrdiff_t>(trimmed.size());
  return {.text = std::string(trimmed),
          .places = {result.places.begin() + begin, result.places.begin() + end}};
}

std::optional<Number> math_value(std::string_view text) {
  if (const size_t equals = text.rfind('='); equals != std::string_view::npos) {
    text = core::trim(text.substr(equals + 1));
  }
  Reader reader(text, 0);
  const auto result = reader.value();
  return result && is_unit(text.substr(reader.position())) ? result : std::nullopt;
}

std::optional<MathValue> last_math_value(std::string_view text) {
  constexpr std::string_view kFrac = "\\frac";
  std::optional<MathValue> result;
  size_t number = 0, frac = 0;  // where the next one begins; looked for again only when passed
  for (size_t i = 0; i <= text.size();) {
    if (i == 0 || number < i) {
      const auto token = find_number(text, i);
      number = token ? token->begin : text.size();
    }
    if (i == 0 || frac < i) frac = std::min(text.find(kFrac, i), text.size());
    const size_t begin = std::min(number, frac);
    if (begin == text.size()) break;
    Reader reader(text, begin);
    const auto value = reader.value();
    if (value) result = {*value, begin, reader.position()};
    i = value ? reader.position() : begin + 1;
  }
  return result;
}

}  // namespace sgrpo::verifier
