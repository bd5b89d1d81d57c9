// Coefficients of the KL and entropy terms that follow what optimizer steps measure.
#pragma once

#include <limits>

#include "sgrpo/algorithm/options.h"

namespace sgrpo::algorithm {

/// What the terms are weighed with in the next optimizer step.
struct Coefficients {
  double kl = 0.0;
  double entropy = 0.0;
  /// Of the optimizer step before: the bonus acts only where it was at most the target
  double last_entropy = std::numeric_limits<double>::infinity();

  bool operator==(const Coefficients&) const = default;
};

/// Sums over one optimizer step and all ranks, of sampled members alone.
struct Measured {
  double kl = 0.0, entropy = 0.0;  // over tokens
  double tokens = 0.0;
  double completions = 0.0;  // those that were worth no pass included
};

/// Whether a coefficient of `options` moves.
bool has_moving_coefficient(const AlgorithmOptions& options);

/// Those that a run begins with: kl_coef and entropy_coef.
Coefficients first_coefficients(const AlgorithmOptions& options);

/// Those of the next optimizer step:
///   kl_adaptive       kl (1 + clip(mean KL / target - 1, +-0.2) completions / horizon)
///   adaptive_entropy  entropy + delta where the mean entropy is at most the target, else - delta,
///                     within [min, max]
/// Nothing was sampled, nothing moves. Sources: arXiv 1909.08593, as verl's AdaptiveKLController;
/// 2505.22312 (Skywork-OR1), as TRL.
Coefficients follow(Coefficients coefficients,
                    const Measured& measured,
                    const AlgorithmOptions& options);

/// `options` with these in place of kl_coef and entropy_coef, as far as they move. The bonus is 0
/// where the entropy of the step before is above its target or not known yet.
AlgorithmOptions with_coefficients(AlgorithmOptions options, const Coefficients& coefficients);

/// Refuses values out of range, and what cannot move: a KL coefficient that begins at 0.
/// `completions`: the most that one optimizer step samples; a KL coefficient must stay above 0.
/// Throws core::UserError naming key, value and range.
void check_coefficients(const AlgorithmOptions& options, int64_t completions);

}  // namespace sgrpo::algorithm
