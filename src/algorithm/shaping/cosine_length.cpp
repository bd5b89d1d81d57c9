// A reward by length alone, along half a cosine over L = 0 ... limit tokens, in place of the
// verifier's: a correct member falls from 1.0 to 0.5, any other rises from -0.5 to 0.0, so that a
// failure is worth thinking longer about. Beyond the limit the value at the limit stays.
// Source: arXiv 2502.03373; values as ms-swift's.
#include <algorithm>
#include <cmath>

#include "sgrpo/algorithm/shaping.h"

namespace sgrpo::algorithm {
namespace {

class CosineLength final : public Shaper {
 public:
  CosineLength(MethodParams& params, const ShapingContext& context)
      : limit_(params.integer("limit", context.max_new_tokens, 1, 1 << 20)),
        correct_{params.number("correct_short", 1.0, -1e3, 1e3),
                 params.number("correct_long", 0.5, -1e3, 1e3)},
        wrong_{params.number("wrong_short", -0.5, -1e3, 1e3),
               params.number("wrong_long", 0.0, -1e3, 1e3)} {}

  double shape(const RolloutGroup& /*group*/, const GroupMember& member) const override {
    const Ends& ends = member.verdict.status == VerdictStatus::kCorrect ? correct_ : wrong_;
    const auto length = static_cast<int64_t>(member.completion.token_ids.size());
    const double share =
        static_cast<double>(std::min(length, limit_)) / static_cast<double>(limit_);
    // 1 at length 0, 0 at the limit.
    const double height = (1.0 + std::cos(share * std::acos(-1.0))) / 2.0;
    return ends.at_limit + (ends.at_zero - ends.at_limit) * height;
  }

 private:
  struct Ends {
    double at_zero, at_limit;
  };

  int64_t limit_;
  Ends correct_, wrong_;
};

SGRPO_REGISTER_SHAPER("cosine_length", CosineLength);

}  // namespace
}  // namespace sgrpo::algorithm
