// A = (r - mean) / (s + std_eps). Source: arXiv 2402.03300; the paper is silent on the divisor of
// s, G - 1 (sample) follows TRL, verl and EasyR1. With `std: batch` s is the sample deviation of
// all valid rewards of the step, injected ones and those of all ranks included (PPO Lite, arXiv
// 2508.08221, as TRL's scale_rewards: batch).
#include "algorithm/advantage/group_tensor.h"
#include "algorithm/advantage/members.h"
#include "algorithm/advantage/moments.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

class Grpo final : public Estimator {
 public:
  Grpo(const AlgorithmOptions& options, MethodParams& /*params*/)
      : formula_(group_normalization(options, "").formula()),
        is_batch_(options.std == RewardScale::kBatch) {}

  std::optional<ops::GroupFormula> formula() const override {
    return is_batch_ ? std::nullopt : std::optional(formula_);
  }

  std::vector<double> local(const std::vector<RolloutGroup>& groups) const override {
    if (!is_batch_) return {};
    Moments moments;
    for (const RolloutGroup& group : groups) {
      for (const double reward : rewards_of(valid_members(group))) moments.add(reward);
    }
    return moments.sums();
  }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& sums) const override {
    const GroupTensor tensor = to_tensor(groups);
    const auto result = ops::group_advantage(tensor.rewards, tensor.status, formula_);
    if (!is_batch_) return with_advantages(std::move(groups), result.advantages);
    // A batch whose deviation is 0 has centred rewards of 0 only.
    const double divisor = Moments(sums).deviation() + formula_.eps;
    return with_advantages(std::move(groups),
                           divisor > 0 ? result.advantages / divisor : result.advantages);
  }

 private:
  ops::GroupFormula formula_;
  bool is_batch_;
};

SGRPO_REGISTER_ADVANTAGE("grpo", Grpo);

}  // namespace
}  // namespace sgrpo::algorithm
