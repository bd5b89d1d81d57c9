// A = 2 r - 1, without any statistic of the group: a group that fails as a whole is pushed down,
// one that passes as a whole is pushed up, so the rule of spread does not apply and one member is
// enough. algorithm.std and std_eps have no effect. Source: "Gradient Starvation in Binary-Reward
// GRPO" (arXiv, 2026; known to us by its abstract).
#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"

namespace sgrpo::algorithm {
namespace {

class Sign final : public Estimator {
 public:
  Sign(const AlgorithmOptions& /*options*/, MethodParams& /*params*/) {}

  bool allows_single() const override { return true; }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [](const RolloutGroup&, const Members& members) {
      std::vector<double> advantages = rewards_of(members);
      for (double& advantage : advantages) advantage = 2.0 * advantage - 1.0;
      return advantages;
    });
  }
};

SGRPO_REGISTER_ADVANTAGE("sign", Sign);

}  // namespace
}  // namespace sgrpo::algorithm
