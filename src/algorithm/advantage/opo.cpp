// A = r - b with the variance-optimal baseline b = sum(length * r) / sum(length) of the group,
// lengths in loss tokens. algorithm.std and std_eps have no effect. Source: arXiv 2505.23585; form
// as verl's.
#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"

namespace sgrpo::algorithm {
namespace {

class Opo final : public Estimator {
 public:
  Opo(const AlgorithmOptions& options, MethodParams& /*params*/)
      : min_spread_(options.min_spread) {}

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [this](const RolloutGroup&, const Members& members) {
      std::vector<double> advantages = rewards_of(members);
      if (!has_spread(advantages, min_spread_)) return std::vector<double>(members.size(), 0.0);
      double weighted = 0.0, tokens = 0.0;
      for (const GroupMember* member : members) {
        const auto length = static_cast<double>(member->completion.token_ids.size());
        weighted += length * member->reward();
        tokens += length;
      }
      for (double& advantage : advantages) advantage -= weighted / tokens;
      return advantages;
    });
  }

 private:
  double min_spread_;
};

SGRPO_REGISTER_ADVANTAGE("opo", Opo);

}  // namespace
}  // namespace sgrpo::algorithm
