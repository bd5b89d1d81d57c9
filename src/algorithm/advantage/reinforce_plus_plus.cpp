// Token returns, whitened over all loss tokens of the batch and of all ranks:
//   R_t = r - kl_coef * sum over k >= t of k1_k,   A_t = (R_t - mean) / (s + std_eps)
// with s by divisor N - 1 over the N tokens of valid members. k1 = old - ref of sampled members'
// tokens (kl_place: reward); the injected member pays none. With `baseline` (REINFORCE++-baseline)
// the group's mean reward is subtracted first. Source: arXiv 2501.03262 (KL 0.001 there).
#include "algorithm/advantage/members.h"
#include "algorithm/advantage/moments.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

class ReinforcePlusPlus final : public Estimator {
 public:
  ReinforcePlusPlus(const AlgorithmOptions& options, MethodParams& params)
      : kl_coef_(options.kl_place == KlPlace::kReward ? options.kl_coef : 0.0),
        eps_(options.std_eps),
        min_spread_(options.min_spread),
        baseline_(params.flag("baseline", false)) {}

  Needs needs() const override {
    return {.old_logprobs = kl_coef_ > 0, .ref_logprobs = kl_coef_ > 0};
  }
  bool allows_single() const override { return !baseline_; }
  bool takes_token_kl() const override { return true; }

  std::vector<double> local(const std::vector<RolloutGroup>& groups) const override {
    Moments moments;
    for_each_return(groups, [&](size_t, size_t, const std::vector<double>& returns) {
      for (const double value : returns) moments.add(value);
    });
    return moments.sums();
  }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& sums) const override {
    const Moments moments(sums);
    const double mean = moments.mean(), deviation = moments.deviation();
    std::vector<RolloutGroup> result = groups;
    for (RolloutGroup& group : result) {
      for (GroupMember& member : group.members) member.set_advantage(0.0);
    }
    if (moments.is_flat(min_spread_)) return result;
    for_each_return(groups, [&](size_t g, size_t m, const std::vector<double>& returns) {
      std::vector<double>& advantages = result[g].members[m].advantages;
      for (size_t t = 0; t < returns.size(); ++t)
        advantages[t] = (returns[t] - mean) / (deviation + eps_);
    });
    return result;
  }

 private:
  /// Calls `take(group, member, returns)` for every valid member.
  template <class Take>
  void for_each_return(const std::vector<RolloutGroup>& groups, const Take& take) const {
    for (size_t g = 0; g < groups.size(); ++g) {
      const double baseline = baseline_ ? mean_of(rewards_of(valid_members(groups[g]))) : 0.0;
      for (size_t m = 0; m < groups[g].members.size(); ++m) {
        const GroupMember& member = groups[g].members[m];
        if (member.verdict.is_valid()) take(g, m, returns_of(member, member.reward() - baseline));
      }
    }
  }

  std::vector<double> returns_of(const GroupMember& member, double reward) const {
    std::vector<double> returns(member.completion.token_ids.size(), reward);
    if (kl_coef_ == 0.0 || member.completion.origin != Origin::kSampled) return returns;
    const auto& old = member.scores.old_logprobs;
    const auto& reference = member.scores.ref_logprobs;
    SGRPO_CHECK(old.size() == returns.size() && reference.size() == returns.size(),
                "reinforce_plus_plus: a member is not scored");
    double kl = 0.0;
    for (size_t t = returns.size(); t-- > 0;) {
      kl += static_cast<double>(old[t]) - static_cast<double>(reference[t]);
      returns[t] -= kl_coef_ * kl;
    }
    return returns;
  }

  double kl_coef_, eps_, min_spread_;
  bool baseline_;
};

SGRPO_REGISTER_ADVANTAGE("reinforce_plus_plus", ReinforcePlusPlus);

}  // namespace
}  // namespace sgrpo::algorithm
