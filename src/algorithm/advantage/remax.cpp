// ReMax: A = r - r_greedy, the reward of one greedy completion of the same prompt, which is sampled
// in the same pass, judged, and learned from by nobody. The rule of spread does not apply: a group
// that is better than its greedy member as a whole is pushed up. Without a verdict on the greedy
// completion (timeout, error, masked) the group has A = 0. algorithm.std and std_eps have no
// effect. Source: arXiv 2310.10505; verl's form with one more sample in the place of a second
// rollout.
#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

class ReMax final : public Estimator {
 public:
  ReMax(const AlgorithmOptions& /*options*/, MethodParams& /*params*/) {}

  bool allows_single() const override { return true; }
  std::optional<SamplingOptions> baseline_request(SamplingOptions sampling) const override {
    sampling.greedy = true;
    return sampling;
  }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [](const RolloutGroup& group, const Members& members) {
      SGRPO_CHECK(
          group.baseline, "remax: prompt ", group.prompt_index, " has no greedy completion");
      std::vector<double> advantages(members.size(), 0.0);
      if (!group.baseline->verdict.is_valid()) return advantages;
      for (size_t i = 0; i < members.size(); ++i)
        advantages[i] = members[i]->reward() - group.baseline->verdict.reward;
      return advantages;
    });
  }
};

SGRPO_REGISTER_ADVANTAGE("remax", ReMax);

}  // namespace
}  // namespace sgrpo::algorithm
