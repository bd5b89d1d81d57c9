// Only the group's best member learns: A = (best - second best) / (s + std_eps), 0 for all others;
// of equal best members the first, and then A = 0. s is the deviation of the group's rewards, by
// algorithm.std (none: no division). Source: arXiv 2503.19595; form as verl's, which divides by the
// sample deviation.
#include <algorithm>

#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"

namespace sgrpo::algorithm {
namespace {

class PassAtK final : public Estimator {
 public:
  PassAtK(const AlgorithmOptions& options, MethodParams& /*params*/)
      : normalize_(group_normalization(options, "pass_at_k")) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [this](const RolloutGroup&, const Members& members) {
      std::vector<double> advantages(members.size(), 0.0);
      if (members.size() < 2) return advantages;
      // Differences of normalised rewards are differences of rewards over (s + std_eps).
      const std::vector<double> scaled = normalize_(rewards_of(members));
      const auto best = std::max_element(scaled.begin(), scaled.end());
      std::vector<double> descending = scaled;
      std::sort(descending.rbegin(), descending.rend());
      advantages[static_cast<size_t>(best - scaled.begin())] = descending[0] - descending[1];
      return advantages;
    });
  }

 private:
  Normalization normalize_;
};

SGRPO_REGISTER_ADVANTAGE("pass_at_k", PassAtK);

}  // namespace
}  // namespace sgrpo::algorithm
