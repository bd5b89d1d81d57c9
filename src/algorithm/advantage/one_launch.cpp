#include "sgrpo/algorithm/one_launch.h"

#include <ATen/ATen.h>

#include "algorithm/advantage/group_tensor.h"
#include "algorithm/injection_parts.h"
#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

/// What the launch must know of the groups that get their ground truth.
ops::GroupInjection injection_of(const std::vector<RolloutGroup>& groups,
                                 const std::vector<size_t>& chosen,
                                 int64_t widest,
                                 const InjectionOptions& options,
                                 const InjectionContext& context) {
  const auto rows = static_cast<int64_t>(groups.size());
  ops::GroupInjection result{.victim_score = at::zeros({rows, widest}, at::kDouble),
                             .may_inject = at::zeros({rows}, at::kBool),
                             .gt_reward = at::zeros({rows}, at::kDouble),
                             .only_all_fail = options.when == InjectWhen::kAllFail,
                             .appends = options.mode == InjectMode::kAppend,
                             .fail_weight = options.fail_weight,
                             .smoothing = options.smoothing};
  auto score = result.victim_score.accessor<double, 2>();
  auto gt_reward = result.gt_reward.accessor<double, 1>();
  auto may_inject = result.may_inject.accessor<bool, 1>();
  for (const size_t index : chosen) {
    const auto row = static_cast<int64_t>(index);
    may_inject[row] = true;
    gt_reward[row] = ground_truth_reward(groups[index], options);
    if (result.appends) continue;
    const auto scores = victim_scores(groups[index], options.victim, context);
    for (size_t i = 0; i < scores.size(); ++i) score[row][static_cast<int64_t>(i)] = scores[i];
  }
  return result;
}

}  // namespace

bool fits_one_launch(const AlgorithmOptions& options) {
  return make_estimator(options)->formula().has_value() && !options.has_kl_reward() &&
         options.shaping.empty() && options.modifiers.empty();
}

std::vector<RolloutGroup> inject_and_estimate(std::vector<RolloutGroup> groups,
                                              const AlgorithmOptions& options,
                                              const InjectionOptions& injection,
                                              const InjectionContext& context,
                                              at::Device device) {
  const auto estimator = make_estimator(options);
  const std::vector<size_t> chosen = groups_to_inject(groups, injection, context);
  check_group_sizes(groups, *estimator, options, injection);
  const GroupTensor tensor = to_tensor(groups);
  ops::GroupInjection rule =
      injection_of(groups, chosen, tensor.rewards.size(1), injection, context);
  for (at::Tensor* part : {&rule.victim_score, &rule.may_inject, &rule.gt_reward})
    *part = part->to(device);
  const auto result = ops::group_advantage(
      tensor.rewards.to(device), tensor.status.to(device), estimator->formula().value(), rule);

  const at::Tensor victim = result.victim.cpu();
  for (size_t p = 0; p < groups.size(); ++p) {
    const int32_t place = victim.const_data_ptr<int32_t>()[p];
    if (place >= 0) inject_at(groups[p], static_cast<size_t>(place), injection);
  }
  groups = shape_rewards(std::move(groups), {}, injection);
  return with_advantages(std::move(groups), result.advantages.cpu());
}

}  // namespace sgrpo::algorithm
