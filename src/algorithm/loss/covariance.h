// What clip_cov and kl_cov choose tokens by.
#pragma once

#include <ATen/ATen.h>

#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {

/// Columns 0 and 1 of their statistics: the advantages and log-probs of the loss tokens, f64; NaN
/// for other decisions, whose rows do not count.
at::Tensor covariance_columns(const LossInputs& inputs);

/// (A - mean A)(log p - mean log p) of each row of `tokens` (columns 0 and 1), f64 [rows]; the
/// means are over `all`, the loss tokens of the whole optimizer step.
at::Tensor covariance(const at::Tensor& tokens, const at::Tensor& all);

/// As `covariance`, of every decision of the micro-batch [M].
at::Tensor covariance_of_batch(const LossInputs& inputs);

/// How many of `count` tokens a share is: at least one.
int64_t share_of(double share, int64_t count);

}  // namespace sgrpo::algorithm
