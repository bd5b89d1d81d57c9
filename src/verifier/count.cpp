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

/// Number words up to ninety-nine, in order of appearance; "no" and "none" are not numbers here.
class WordNumbers {
 public:
  void add(std::string_view word) {
    const auto small = index_of(kSmall, word);
    const auto tens = index_of(kTens, word);
    if (small && *small >= 1 && *small <= 9 && open_tens_ > 0) {
      last_ = open_tens_ + *small;
    } else if (small || tens) {
      last_ = small ? *small : 20 + 10 * *tens;
      first_ = count_++ == 0 ? last_ : first_;
    }
    open_tens_ = tens ? last_ : 0;
    if (count_ == 1) first_ = last_;
  }

  std::optional<int64_t> pick(Position position) const {
    if (count_ == 0 || (position == Position::kOnly && count_ > 1)) return std::nullopt;
    return position == Position::kFirst ? first_ : last_;
  }

 private:
  int64_t count_ = 0, first_ = 0, last_ = 0, open_tens_ = 0;
};

std::optional<int64_t> pick_word(std::string_view text, Position position) {
  constexpr size_t kLongestWord = 16;
  WordNumbers numbers;
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
    if (lower >= 'a' && lower <= 'z') {
      if (word.size() < kLongestWord) word += lower;
    } else if (!word.empty()) {
      numbers.add(word);
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
    if (sample.ground_truth.empty()) return no_ground_truth("count");
    const auto expected = read(sample.ground_truth, Position::kOnly);
    if (!expected) {
      return failed(core::str("count: ground truth '",
                              core::printable(sample.ground_truth),
                              "' does not hold exactly one whole number"));
    }
    const auto answer = read(sample.completion, position_);
    return answer ? graded(tolerance_.accepts(*answer, *expected)) : unparsed();
  }

 private:
  explicit Count(const Params& params)
      : tolerance_{Number(params.integer("tolerance", 0, 0, 1'000'000'000)), Number()},
        position_(position_from(params.choice("position", "last", {"first", "last", "only"}))) {}

  /// Digits win over words, which often are no counts ("one can see 3 dogs").
  static std::optional<Number> read(std::string_view text, Position position) {
    if (find_number(text)) {
      const auto token = pick_number(text, position);
      const bool is_count = token && token->value.is_integer() && !token->is_percent;
      return is_count ? std::optional<Number>(token->value) : std::nullopt;
    }
    const auto word = pick_word(text, position);
    return word ? std::optional<Number>(Number(*word)) : std::nullopt;
  }

  Tolerance tolerance_;
  Position position_;
};

SGRPO_REGISTER_VERIFIER("count", Count);

}  // namespace
}  // namespace sgrpo::verifier
