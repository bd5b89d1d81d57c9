// A_i = r_i - mean of the other members = n / (n - 1) (r_i - mean). Source: arXiv 2402.14740.
// algorithm.std and std_eps have no effect.
#include "algorithm/advantage/group_tensor.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

class Rloo final : public Estimator {
 public:
  Rloo(const AlgorithmOptions& options, MethodParams& /*params*/)
      : min_spread_(options.min_spread) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    const GroupTensor tensor = to_tensor(groups);
    const ops::GroupFormula formula{ops::Deviation::kNone, 0.0, min_spread_};
    const auto result = ops::group_advantage(tensor.rewards, tensor.status, formula);
    const at::Tensor is_judged = tensor.status <= static_cast<int64_t>(ops::MemberStatus::kFailed);
    const at::Tensor count = is_judged.sum(1, /*keepdim=*/true).to(at::kDouble);
    // One valid member has no others; its centred reward is 0 whatever the factor.
    return with_advantages(std::move(groups),
                           result.advantages * (count / (count - 1).clamp_min(1)));
  }

 private:
  double min_spread_;
};

SGRPO_REGISTER_ADVANTAGE("rloo", Rloo);

}  // namespace
}  // namespace sgrpo::algorithm
