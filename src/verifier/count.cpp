// `count`: a whole number, in digits or as an English word, equals the ground truth's.
#include <array>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/number.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

constexpr std::array<std::string_view, 20> kSmall = {
    "zero",     "one",     "two",     "three",     "four",     "five",    "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array<std::string_view, 8> kTens = {
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};

template <size_t N>
std::optional<int64_t> index_of(const std::array<std::string_view, N>& words,
                                std::string_view word) {
  for (size_t i = 0; i < N; ++i) {
    if (words[i] == word) return static_cast<int64_t>(i);
  }
  return std::nullopt;
}

/// A whole number and where it stands.
struct Counted {
  Number value;
  TextSpan span;
};

/// Number words up to ninety-nine, in order of appearance; "no" and "none" are not numbers here.
class WordNumbers {
 public:
  void add(std::string_view word, TextSpan span) {
    const auto small = index_of(kSmall, word);
    const auto tens = index_of(kTens, word);
    if (small && *small >= 1 && *small <= 9 && open_tens_ > 0) {
      last_ = {Number(open_tens_ + *small), {last_.span.begin, span.end}};
    } else if (small || tens) {
      last_ = {Number(small ? *small : 20 + 10 * *tens), span};
      first_ = count_++ == 0 ? last_ : first_;
    }
    open_tens_ = tens ? 20 + 10 * *tens : 0;
    if (count_ == 1) first_ = last_;
  }

  std::optional<Counted> pick(Position position) const {
    if (count_ == 0 || (position == Position::kOnly && count_ > 1)) return std::nullopt;
    return position == Position::kFirst ? first_ : last_;
  }

 private:
  int64_t count_ = 0, open_tens_ = 0;
  Counted first_, last_;
};

std::optional<Counted> pick_word(std::string_view text, Position position) {
  constexpr size_t kLongestWord = 16;
  WordNumbers numbers;
  std::string word;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
    if (lower >= 'a' && lower <= 'z') {
      if (word.empty()) begin = i;
      if (word.size() < kLongestWord) word += lower;
    } else if (!word.empty()) {
      numbers.add(word, {static_cast<int64_t>(begin), static_cast<int64_t>(i)});
      word.clear();
    }
  }
  return numbers.pick(position);
}

class Count : public Verifier {
 public:
  Count(const core::Json& json, const std::string& where)
      : Count(Params(json, where, {"tolerance", "position"})) {}

  Verdict verify(const Sample& sample) const override {
    const auto answer = read(sample.completion, position_);
    const Verdict verdict = judge(answer, sample.ground_truth);
    return answer ? answered(verdict, answer->value.decimal_text(), answer->span) : verdict;
  }

 private:
  Verdict judge(const std::optional<Counted>& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("count");
    const auto expected = read(ground_truth, Position::kOnly);
    if (!expected) {
      return failed(core::str("count: ground truth '",
                              core::printable(ground_truth),
                              "' does not hold exactly one whole number"));
    }
    return answer ? graded(tolerance_.accepts(answer->value, expected->value)) : unparsed();
  }

  explicit Count(const Params& params)
      : tolerance_{Number(params.integer("tolerance", 0, 0, 1'000'000'000)), Number()},
        position_(position_from(params.choice("position", "last", {"first", "last", "only"}))) {}

  /// Digits win over words, which often are no counts ("one can see 3 dogs").
  static std::optional<Counted> read(std::string_view text, Position position) {
    if (find_number(text)) {
      const auto token = pick_number(text, position);
      if (!token || !token->value.is_integer() || token->is_percent) return std::nullopt;
      return Counted{token->value,
                     {static_cast<int64_t>(token->begin), static_cast<int64_t>(token->end)}};
    }
    return pick_word(text, position);
  }

  Tolerance tolerance_;
  Position position_;
};

SGRPO_REGISTER_VERIFIER("count", Count);

}  // namespace
}  // namespace sgrpo::verifier
