// The pieces that policy_loss and sft_loss are put together from.
#pragma once

#include <string>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {

/// exp(policy - old), the log-ratio clamped to +-20.
at::Tensor ratio_of(const at::Tensor& policy_logprobs, const at::Tensor& old_logprobs);

/// What a loss reads, with masked tokens neutral (log-probs, entropy and advantage 0, whatever they
/// held) and everything in the log-probs' dtype.
struct LossInputs {
  at::Tensor policy;   // [M] with gradient
  at::Tensor old;      // [M], injected tokens by injection.gt_old_logprob
  at::Tensor entropy;  // [M]
  TrainBatch batch;    // advantages and ref_logprobs converted and masked
};
LossInputs prepare_inputs(const at::Tensor& policy_logprobs,
                          const at::Tensor& entropy,
                          const TrainBatch& batch,
                          const InjectionOptions& injection);

/// -A F(p) on every token, for injection.gt_shape other than none.
at::Tensor shaped_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& advantages,
                       const InjectionOptions& injection);

/// The sum over the loss tokens of each token's own sequence, [M] -> [M].
at::Tensor sum_over_sequence(const at::Tensor& values, const TrainBatch& batch);

/// Each token's weight in the loss [M], 0 where masked. The sum over the optimizer step's tokens of
/// weight * token loss is the loss.
at::Tensor aggregation_weights(const TrainBatch& batch,
                               Aggregation aggregation,
                               double constant,
                               at::ScalarType dtype);

/// What the metrics are summed from; [M] each, an undefined tensor counts as 0.
struct StatsInputs {
  at::Tensor loss;      // []
  at::Tensor sampled;   // bool
  at::Tensor injected;  // bool
  at::Tensor kl;
  at::Tensor entropy;
  at::Tensor logprobs;
  at::Tensor abs_advantage_ratio;
  ClipFlags clip;
};
LossStats sum_stats(const StatsInputs& inputs, const at::Tensor& loss_mask);

}  // namespace sgrpo::algorithm
