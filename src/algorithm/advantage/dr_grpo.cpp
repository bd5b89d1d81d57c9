// A = r - mean, without division by the deviation: algorithm.std and std_eps have no effect.
// Source: arXiv 2503.20783. Its length normalisation is the aggregation seq_mean_token_sum_const.
#include "algorithm/advantage/group_tensor.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

class DrGrpo final : public Estimator {
 public:
  DrGrpo(const AlgorithmOptions& options, MethodParams& /*params*/)
      : formula_{ops::Deviation::kNone, 0.0, options.min_spread} {}

  std::optional<ops::GroupFormula> formula() const override { return formula_; }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    const GroupTensor tensor = to_tensor(groups);
    const auto result = ops::group_advantage(tensor.rewards, tensor.status, formula_);
    return with_advantages(std::move(groups), result.advantages);
  }

 private:
  ops::GroupFormula formula_;
};

SGRPO_REGISTER_ADVANTAGE("dr_grpo", DrGrpo);

}  // namespace
}  // namespace sgrpo::algorithm
