// `math`: the answer's value equals the ground truth's exactly: decimals, fractions, \frac, \boxed,
// percentages, thousands separators, powers of ten; other answers are compared as text.
#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/math_text.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

std::string without_blanks(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\t'; });
  return text;
}

class Math : public Verifier {
 public:
  Math(const core::Json& json, const std::string& where)
      : Math(Params(json, where, {"tolerance", "relative_tolerance", "boxed"})) {}

  Verdict verify(const Sample& sample) const override {
    const std::string_view truth = sample.ground_truth;
    const std::string expected = clean_math(boxed_answer(truth).value_or(after_hashes(truth))).text;
    const std::optional<Number> value = math_value(expected);
    const Reading reading = read(sample.completion, truth.empty() || value);
    const Verdict verdict =
        truth.empty() ? no_ground_truth("math") : judge(reading, expected, value);
    if (verdict.status == VerdictStatus::kUnparsed) return verdict;
    return answered(
        verdict, reading.value ? reading.value->fraction_text() : reading.text, reading.span);
  }

 private:
  /// What a completion answers: a value, else a text without blanks; neither: nothing readable.
  struct Reading {
    std::optional<Number> value;
    std::string text;
    std::optional<TextSpan> span;
    bool is_boxed = false;
  };

  /// `wants_value`: a value in running text is the answer, too.
  Reading read(std::string_view completion, bool wants_value) const {
    Reading reading;
    const auto boxed = boxed_answer(completion);
    reading.is_boxed = boxed.has_value();
    if (needs_box_ && !boxed) return reading;
    const std::string_view part = boxed.value_or(after_hashes(completion));
    const MathText clean = clean_math(part);
    if (clean.text.empty()) return reading;
    MathValue found{.value = {}, .begin = 0, .end = clean.text.size()};
    if (const auto value = math_value(clean.text)) {
      reading.value = value;
    } else if (const auto last =
                   wants_value && !boxed ? last_math_value(clean.text) : std::nullopt) {
      reading.value = last->value;
      found = *last;
    }
    reading.text = without_blanks(clean.text);
    const TextSpan inside = clean.source(found.begin, found.end);
    const int64_t offset = span_of(completion, part).begin;
    reading.span = TextSpan{.begin = offset + inside.begin, .end = offset + inside.end};
    return reading;
  }

  Verdict judge(const Reading& reading,
                const std::string& expected,
                const std::optional<Number>& value) const {
    if (reading.text.empty()) return unparsed();
    if (!value) return graded(reading.text == without_blanks(expected));
    if (!reading.value) return reading.is_boxed ? graded(false) : unparsed();
    return graded(tolerance_.accepts(*reading.value, *value));
  }

  explicit Math(const Params& params)
      : tolerance_{Number::from_double(params.number("tolerance", 0.0, 0.0)),
                   Number::from_double(params.number("relative_tolerance", 0.0, 0.0))},
        needs_box_(params.choice("boxed", "optional", {"optional", "required"}) == "required") {}

  Tolerance tolerance_;
  bool needs_box_;
};

SGRPO_REGISTER_VERIFIER("math", Math);

}  // namespace
}  // namespace sgrpo::verifier
