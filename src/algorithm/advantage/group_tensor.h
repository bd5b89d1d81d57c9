// Rewards of groups as one padded tensor, and advantages back into the groups.
#pragma once

#include <vector>

#include <ATen/ATen.h>

#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// Groups of unequal size (append) share one tensor; padding counts as invalid members.
struct GroupTensor {
  at::Tensor rewards;  // [P, G] f64 CPU
  at::Tensor valid;    // [P, G] bool CPU
};

/// Rewards and validity of every member; G is the largest group's size.
GroupTensor to_tensor(const std::vector<RolloutGroup>& groups);

/// The groups with `advantages` ([P, G] f64 CPU) written into their members.
std::vector<RolloutGroup> with_advantages(std::vector<RolloutGroup> groups,
                                          const at::Tensor& advantages);

}  // namespace sgrpo::algorithm
