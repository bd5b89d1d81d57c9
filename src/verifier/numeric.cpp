// `numeric`: a number of the completion lies within a tolerance of the ground truth's.
#include "sgrpo/verifier/verifier.h"

#include "sgrpo/core/text.h"
#include "verifier/number.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

class Numeric : public Verifier {
 public:
  Numeric(const core::Json& json, const std::string& where)
      : Numeric(Params(json, where, {"tolerance", "relative_tolerance", "position"})) {}

  Verdict verify(const Sample& sample) const override {
    const auto answer = pick_number(sample.completion, position_);
    const Verdict verdict = judge(answer, sample.ground_truth);
    if (!answer) return verdict;
    return answered(verdict,
                    answer->value.decimal_text(),
                    TextSpan{.begin = static_cast<int64_t>(answer->begin),
                             .end = static_cast<int64_t>(answer->end)});
  }

 private:
  Verdict judge(const std::optional<NumberToken>& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("numeric");
    const auto expected = pick_number(ground_truth, Position::kOnly);
    if (!expected) {
      return failed(core::str("numeric: ground truth '",
                              core::printable(ground_truth),
                              "' does not hold exactly one number"));
    }
    if (!answer) return unparsed();
    return graded(tolerance_.accepts(answer->value, expected->value));
  }

  explicit Numeric(const Params& params)
      : tolerance_{Number::from_double(params.number("tolerance", 0.0, 0.0)),
                   Number::from_double(params.number("relative_tolerance", 0.0, 0.0))},
        position_(position_from(params.choice("position", "last", {"first", "last", "only"}))) {}

  Tolerance tolerance_;
  Position position_;
};

SGRPO_REGISTER_VERIFIER("numeric", Numeric);

}  // namespace
}  // namespace sgrpo::verifier
