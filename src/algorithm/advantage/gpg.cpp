// A = (r - mean) * members of the step / members of the step whose reward is not 0, both counted
// over all ranks and valid members; the divisor is at least 1. Meant for loss `reinforce`.
// algorithm.std and std_eps have no effect. Source: arXiv 2504.02546; form as verl's.
#include <algorithm>

#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"

namespace sgrpo::algorithm {
namespace {

class Gpg final : public Estimator {
 public:
  Gpg(const AlgorithmOptions& options, MethodParams& /*params*/)
      : centre_{.std = ops::Deviation::kNone, .min_spread = options.min_spread} {}

  /// Members, and those with a reward.
  std::vector<double> local(const std::vector<RolloutGroup>& groups) const override {
    std::vector<double> counts(2, 0.0);
    for (const RolloutGroup& group : groups) {
      for (const double reward : rewards_of(valid_members(group))) {
        counts[0] += 1.0;
        counts[1] += reward != 0.0;
      }
    }
    return counts;
  }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& counts) const override {
    const double scale = counts.at(0) / std::max(counts.at(1), 1.0);
    return by_group(std::move(groups), [&](const RolloutGroup&, const Members& members) {
      std::vector<double> advantages = centre_(rewards_of(members));
      for (double& advantage : advantages) advantage *= scale;
      return advantages;
    });
  }

 private:
  Normalization centre_;
};

SGRPO_REGISTER_ADVANTAGE("gpg", Gpg);

}  // namespace
}  // namespace sgrpo::algorithm
