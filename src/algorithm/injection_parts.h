// Steps of an injection, for the two ways of one: on the host, and in one launch with advantages.
#pragma once

#include <cstddef>
#include <vector>

#include "sgrpo/algorithm/injection.h"

namespace sgrpo::algorithm {

/// Groups that get their ground truth: trigger, then cap. Marks those whose row has none.
std::vector<size_t> groups_to_inject(std::vector<RolloutGroup>& mutable_groups,
                                     const InjectionOptions& options,
                                     const InjectionContext& context);

/// One a member: among invalid members, or where there are none among all, the lowest goes (ties:
/// the first).
std::vector<double> victim_scores(const RolloutGroup& group,
                                  Victim rule,
                                  const InjectionContext& context);

/// What injection.gt_reward says for this judged group, before it is injected.
double ground_truth_reward(const RolloutGroup& group, const InjectionOptions& options);

/// The ground truth at `place`, whose member moves to `replaced`; at the end, it is appended.
void inject_at(RolloutGroup& mutable_group, size_t place, const InjectionOptions& options);

}  // namespace sgrpo::algorithm
