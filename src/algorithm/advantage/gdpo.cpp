// GDPO: every reward of `rewards` is normalised in the group on its own, then they are summed by
// their weights (as written, not divided by their sum):
//   A = sum over verifiers v of weight_v (r_v - mean_v) / (s_v + std_eps)
// With `whiten` these sums are then centred and divided by their sample deviation + std_eps over
// all members of the step and all ranks, as TRL does (multi_objective_aggregation:
// normalize_then_sum). A member without a reward v (the ground truth, where v has on_ground_truth:
// false) has no part in v. Rewards must be as judged: nothing may shape their sum.
// Source: arXiv 2601.05242.
#include <set>

#include "algorithm/advantage/members.h"
#include "algorithm/advantage/moments.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

class Gdpo final : public Estimator {
 public:
  Gdpo(const AlgorithmOptions& options, MethodParams& params)
      : normalize_(group_normalization(options, "gdpo")), whitens_(params.flag("whiten", false)) {}

  Needs needs() const override { return {.ground_truth_verdict = true}; }
  bool reads_breakdown() const override { return true; }
  bool ignores_sum() const override { return true; }

  std::vector<double> local(const std::vector<RolloutGroup>& groups) const override {
    if (!whitens_) return {};
    Moments moments;
    for (const RolloutGroup& group : groups) {
      for (const double sum : sums_of(group, valid_members(group))) moments.add(sum);
    }
    return moments.sums();
  }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& sums) const override {
    return by_group(std::move(groups), [&](const RolloutGroup& group, const Members& members) {
      std::vector<double> advantages = sums_of(group, members);
      if (!whitens_) return advantages;
      const Moments moments(sums);
      if (moments.is_flat(0.0)) return std::vector<double>(members.size(), 0.0);
      for (double& advantage : advantages)
        advantage = (advantage - moments.mean()) / (moments.deviation() + normalize_.eps);
      return advantages;
    });
  }

 private:
  std::vector<double> sums_of(const RolloutGroup& group, const Members& members) const {
    std::set<std::string> names;
    for (const GroupMember* member : members) {
      for (const auto& [name, reward] : member->verdict.breakdown) names.insert(name);
    }
    if (names.empty() && !members.empty()) {
      throw core::UserError(core::str(
          "algorithm.estimator is gdpo, which normalises each reward, but the rewards of prompt ",
          group.prompt_index,
          " are sums without parts (recorded ones?); expected `rewards` of verifiers, or another "
          "algorithm.estimator"));
    }
    std::vector<double> sums(members.size(), 0.0);
    for (const std::string& name : names) add_reward(name, members, sums);
    return sums;
  }

  /// Adds what the reward `name` gives each member.
  void add_reward(const std::string& name,
                  const Members& members,
                  std::vector<double>& mutable_sums) const {
    std::vector<size_t> places;
    std::vector<double> rewards;
    double weight = 1.0;
    for (size_t i = 0; i < members.size(); ++i) {
      const Verdict& verdict = members[i]->verdict;
      const auto found = verdict.breakdown.find(name);
      if (found == verdict.breakdown.end()) continue;
      places.push_back(i);
      rewards.push_back(found->second);
      if (const auto own = verdict.weights.find(name); own != verdict.weights.end())
        weight = own->second;
    }
    const std::vector<double> normalized = normalize_(rewards);
    for (size_t n = 0; n < places.size(); ++n) mutable_sums[places[n]] += weight * normalized[n];
  }

  Normalization normalize_;
  bool whitens_;
};

SGRPO_REGISTER_ADVANTAGE("gdpo", Gdpo);

}  // namespace
}  // namespace sgrpo::algorithm
