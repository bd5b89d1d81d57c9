// Group-relative advantages: rewards of P groups of G members -> advantages. Torch-free.
#pragma once

#include <cstdint>

namespace sgrpo::kernels {

/// What the centred rewards are divided by; the values are part of the op's schema.
enum class GroupStd : int32_t { kNone = 0, kSample = 1, kPopulation = 2 };

/// Arguments of one launch; arrays are row-major [num_groups, group_size].
struct GroupAdvantageParams {
  const double* rewards = nullptr;
  const bool* valid = nullptr;   // false: no part in mean and deviation, advantage 0
  double* advantages = nullptr;  // written completely
  int64_t num_groups = 0;
  int64_t group_size = 0;
  GroupStd std = GroupStd::kSample;
  double eps = 0.0;
  double min_spread = 0.0;  // rewards closer than this count as equal
};

/// Fills `advantages` on the calling thread.
void group_advantage_cpu(const GroupAdvantageParams& params);

}  // namespace sgrpo::kernels
