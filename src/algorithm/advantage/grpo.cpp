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
      : formula_{options.std, options.std_eps, options.min_spread} {}

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

SGRPO_REGISTER_ADVANTAGE("grpo", Grpo);

}  // namespace
}  // namespace sgrpo::algorithm
