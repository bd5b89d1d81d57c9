// Rewards of groups as one padded tensor, and advantages back into the groups.
#pragma once

#include <vector>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// Groups of unequal size (append) share one tensor; padding is nobody.
struct GroupTensor {
  at::Tensor rewards;  // [P, G] f64 CPU
  at::Tensor status;   // [P, G] u8 CPU: ops::MemberStatus
};

/// Rewards and status of every member; G is the largest group's size.
GroupTensor to_tensor(const std::vector<RolloutGroup>& groups);

/// The groups with `advantages` ([P, G + 1] f64 CPU) written into their members.
std::vector<RolloutGroup> with_advantages(std::vector<RolloutGroup> groups,
                                          const at::Tensor& advantages);

/// Throws c10::ValueError for a group that the estimator makes no sense of.
void check_group_sizes(const std::vector<RolloutGroup>& groups,
                       const Estimator& estimator,
                       const AlgorithmOptions& options,
                       const InjectionOptions& injection);

}  // namespace sgrpo::algorithm
