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
    if (sample.ground_truth.empty()) return no_ground_truth("math");
    const auto boxed = boxed_answer(sample.completion);
    if (needs_box_ && !boxed) return unparsed();
    const std::string expected_text =
        clean_math(boxed_answer(sample.ground_truth).value_or(after_hashes(sample.ground_truth)));
    const std::string text = clean_math(boxed.value_or(after_hashes(sample.completion)));
    if (text.empty()) return unparsed();
    const auto expected = math_value(expected_text);
    if (!expected) return graded(without_blanks(text) == without_blanks(expected_text));
    auto answer = math_value(text);
    if (!answer && !boxed) answer = last_math_value(text);
    if (!answer) return boxed ? graded(false) : unparsed();
    return graded(tolerance_.accepts(*answer, *expected));
  }

 private:
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
