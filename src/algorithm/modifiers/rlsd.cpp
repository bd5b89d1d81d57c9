// RLSD, self-distillation inside the advantage:
//   A_t = A ((1 - lam) + lam clip(exp(sign(A) delta_t), 1 - clip, 1 + clip))
// with delta_t = log P_teacher(y_t) - log p_t: a token that the teacher prefers counts more where
// the member did well, less where it did not. The teacher is a policy of `frozen` that reads the
// same prompt; a prompt with the solution in it, as the source has, is not part of this. The
// injected member keeps its advantage. Source: arXiv 2604.03128, by ms-swift's defaults.
#include <algorithm>
#include <cmath>

#include "algorithm/modifiers/teacher.h"
#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {
namespace {

class Rlsd final : public Modifier {
 public:
  explicit Rlsd(MethodParams& params)
      : frozen_(params.text("frozen", "teacher")),
        lambda_(params.number("lambda", 0.5, 0.0, 1.0)),
        clip_(params.number("clip", 0.2, 0.0, 1.0)) {}

  Needs needs() const override { return {.old_logprobs = true, .frozen = {frozen_}}; }

  void modify(RolloutGroup& group, const core::RandomKey& /*key*/) const override {
    for (GroupMember& member : group.members) {
      if (!is_taught(member)) continue;
      const std::vector<double> gaps = teacher_gaps(member, frozen_);
      for (size_t t = 0; t < gaps.size(); ++t) {
        double& advantage = member.advantages[t];
        const double ratio = std::exp(advantage < 0 ? -gaps[t] : gaps[t]);
        advantage *= (1.0 - lambda_) + lambda_ * std::clamp(ratio, 1.0 - clip_, 1.0 + clip_);
      }
    }
  }

 private:
  std::string frozen_;
  double lambda_, clip_;
};

SGRPO_REGISTER_MODIFIER("rlsd", Rlsd);

}  // namespace
}  // namespace sgrpo::algorithm
