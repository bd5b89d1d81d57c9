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
      : min_spread_(options.min_spread) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    const GroupTensor tensor = to_tensor(groups);
    const at::Tensor advantages =
        ops::group_advantage(tensor.rewards, tensor.valid, ops::Deviation::kNone, 0.0, min_spread_);
    return with_advantages(std::move(groups), advantages);
  }

 private:
  double min_spread_;
};

SGRPO_REGISTER_ADVANTAGE("dr_grpo", DrGrpo);

}  // namespace
}  // namespace sgrpo::algorithm
