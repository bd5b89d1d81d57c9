// Injection and advantages of a step in one launch on the policy's device.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/options.h"

namespace sgrpo::algorithm {

/// Whether one launch does it: an estimator that is its formula, and nothing between rewards and
/// advantages (shaping, KL in the reward) or behind them (modifiers).
bool fits_one_launch(const AlgorithmOptions& options);

/// What inject_ground_truth, smoothing, compute_advantages and weigh_failures make of classified
/// groups, bit for bit. The cap, which counts groups of all ranks, is agreed before the launch.
/// Throws as they do.
std::vector<RolloutGroup> inject_and_estimate(std::vector<RolloutGroup> groups,
                                              const AlgorithmOptions& options,
                                              const InjectionOptions& injection,
                                              const InjectionContext& context,
                                              at::Device device);

}  // namespace sgrpo::algorithm
