#include "sgrpo/algorithm/advantage.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "algorithm/advantage/group_tensor.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {

std::unique_ptr<Estimator> make_estimator(const AlgorithmOptions& options) {
  return EstimatorRegistry::get("estimator", options.estimator)(options);
}

bool reads_rewards_alone(const AlgorithmOptions& options) {
  const auto estimator = make_estimator(options);
  return !estimator->reads_breakdown() && estimator->columns().empty() &&
         !estimator->baseline_request({});
}

void check_group_sizes(const std::vector<RolloutGroup>& groups,
                       const Estimator& estimator,
                       const AlgorithmOptions& options,
                       const InjectionOptions& injection) {
  // With append, a group of one has a partner whenever it needs one.
  const bool allows_single = estimator.allows_single() || injection.can_append();
  for (const RolloutGroup& group : groups) {
    group.validate();
    TORCH_CHECK_VALUE(group.size() > 1 || allows_single,
                      "prompt ",
                      group.prompt_index,
                      ": a group of one member has no group-relative advantage; expected "
                      "rollout.group_size >= 2 for estimator ",
                      options.estimator);
  }
}

std::vector<RolloutGroup> compute_advantages(std::vector<RolloutGroup> groups,
                                             const AlgorithmOptions& options,
                                             const InjectionOptions& injection,
                                             const SumOverRanks& sum) {
  const auto estimator = make_estimator(options);
  check_group_sizes(groups, *estimator, options, injection);
  const std::vector<double> sums = sum(estimator->local(groups));
  return estimator->finish(std::move(groups), sums);
}

std::vector<RolloutGroup> weigh_failures(std::vector<RolloutGroup> groups,
                                         const InjectionOptions& injection) {
  if (injection.fail_weight == 1.0) return groups;
  for (RolloutGroup& group : groups) {
    if (!group.is_injected) continue;
    for (GroupMember& member : group.members) {
      for (double& advantage : member.advantages) {
        if (advantage < 0) advantage *= injection.fail_weight;
      }
    }
  }
  return groups;
}

bool has_spread(const std::vector<double>& rewards, double min_spread) {
  if (rewards.empty()) return false;
  const auto [lowest, highest] = std::minmax_element(rewards.begin(), rewards.end());
  return ops::has_spread(*lowest, *highest, min_spread);
}

}  // namespace sgrpo::algorithm
