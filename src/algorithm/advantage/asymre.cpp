// AsymRE: A = r - (mean - b), a baseline below the group's mean, so that positive members weigh
// more than negative ones on stale data. A group without spread has A = b. algorithm.std and
// std_eps have no effect. Source: arXiv 2509.24203 (form); its value is not known to us, b = 0.1
// is our choice, 0 is dr_grpo's.
#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"

namespace sgrpo::algorithm {
namespace {

class AsymRe final : public Estimator {
 public:
  AsymRe(const AlgorithmOptions& options, MethodParams& params)
      : centre_{.std = ops::Deviation::kNone, .min_spread = options.min_spread},
        b_(params.number("b", 0.1, -1e3, 1e3)) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [this](const RolloutGroup&, const Members& members) {
      std::vector<double> advantages = centre_(rewards_of(members));
      for (double& advantage : advantages) advantage += b_;
      return advantages;
    });
  }

 private:
  Normalization centre_;
  double b_;
};

SGRPO_REGISTER_ADVANTAGE("asymre", AsymRe);

}  // namespace
}  // namespace sgrpo::algorithm
