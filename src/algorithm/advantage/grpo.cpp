// A = (r - mean) / (s + std_eps). Source: arXiv 2402.03300; the paper is silent on the divisor of
// s, G - 1 (sample) follows TRL, verl and EasyR1.
#include "algorithm/advantage/group_tensor.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

class Grpo final : public Estimator {
 public:
  Grpo(const AlgorithmOptions& options, MethodParams& /*params*/)
      : std_(options.std), eps_(options.std_eps), min_spread_(options.min_spread) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    const GroupTensor tensor = to_tensor(groups);
    const at::Tensor advantages =
        ops::group_advantage(tensor.rewards, tensor.valid, std_, eps_, min_spread_);
    return with_advantages(std::move(groups), advantages);
  }

 private:
  ops::Deviation std_;
  double eps_, min_spread_;
};

SGRPO_REGISTER_ADVANTAGE("grpo", Grpo);

}  // namespace
}  // namespace sgrpo::algorithm
