// Conditional ground-truth injection (CGI): a re-implementation from the abstract of arXiv
// 2604.16557, and ViSurf's append and smoothing (arXiv 2510.10606).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// Sets `kind` and `has_valid_members` of every group from its sampled members' verdicts (valid
/// members only). all_pass: every valid member kCorrect; all_fail: none; else mixed. A reward of
/// recorded rollouts counts through its status.
std::vector<RolloutGroup> classify(std::vector<RolloutGroup> groups);

/// What the injection of one step needs besides the groups.
struct InjectionContext {
  uint64_t seed = 0;
  int64_t step = 1;  // from 1; injection.warmup_steps counts these
  /// Gives the bytes of all ranks in exchange for this one's: the cap counts groups of all ranks.
  std::function<std::vector<std::string>(const std::string&)> exchange =
      [](const std::string& bytes) { return std::vector{bytes}; };
};

/// Whether the trigger of `options` holds for a judged group whose row has a ground truth, before
/// warm-up and cap.
bool wants_ground_truth(const RolloutGroup& group, const InjectionOptions& options);

/// Injects the ground truth where `options.when` says so: trigger, cap (groups picked by key),
/// victim, replace or append, reward. (Smoothing comes after shaping: shape_rewards.) Groups
/// without ground truth are marked and left alone. The victim is chosen by the sum of its sampler
/// log-probs (missing ones are a ContractError) or by its reward, an invalid member goes first,
/// ties to the lowest index. A ground truth that could not be judged (`ground_truth_verdict`)
/// counts as missing. Source: arXiv 2604.16557 (abstract); low_reward, lowest_reward and relative:
/// the detection examples of m87-labs/moondream-python.
std::vector<RolloutGroup> inject_ground_truth(std::vector<RolloutGroup> groups,
                                              const InjectionOptions& options,
                                              const InjectionContext& context);

/// Rewards of the valid members as they would be with the ground truth in place, where injection's
/// trigger holds and the row has one; the cap, which looks at all groups, aside.
std::vector<double> rewards_after_injection(const RolloutGroup& group,
                                            const InjectionOptions& options,
                                            const InjectionContext& context);

/// Throws core::UserError for combinations that have no meaning (gt_shape with another
/// gt_old_logprob than current_detached; replace with group_size 1).
void validate(const InjectionOptions& options, int64_t group_size);

}  // namespace sgrpo::algorithm
