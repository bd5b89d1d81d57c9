// What the policy term of a token is weighed with.
#pragma once

#include <ATen/ATen.h>

#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {

/// sg[w] of algorithm.tis for every decision [M]; undefined with mode off.
at::Tensor sampler_correction(const LossInputs& inputs, const TisOptions& tis);

/// The token losses [M] weighed as `batch_loss` says; `corrects` where algorithm.tis still has to
/// be.
at::Tensor weigh_policy_term(const at::Tensor& token_losses,
                             const LossInputs& inputs,
                             const AlgorithmOptions& options,
                             bool corrects);

/// The value below which a share `quantile` of the values lies, interpolated between neighbours;
/// values [N] f64, N >= 1.
double quantile_of(const at::Tensor& values, double quantile);

}  // namespace sgrpo::algorithm
