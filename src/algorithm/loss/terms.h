// The pieces that batch_loss is put together from.
#pragma once

#include <string>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {

/// exp(policy - old), the log-ratio clamped to +-20.
at::Tensor ratio_of(const at::Tensor& policy_logprobs, const at::Tensor& old_logprobs);

/// exp(mean over the sequence's tokens of policy - old), the mean clamped to +-20, [M].
at::Tensor sequence_ratio(const LossInputs& inputs);

/// The inputs of a loss out of a micro-batch's scores. Throws c10::ValueError for shapes.
LossInputs prepare_inputs(const Scores& scores,
                          const LossBatch& batch,
                          const InjectionOptions& injection,
                          const StepContext& context);

/// -A F(p) on every token, for injection.gt_shape other than none.
at::Tensor shaped_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& advantages,
                       const InjectionOptions& injection);

/// The sums over the loss tokens of each sequence, [M] -> [B].
at::Tensor sequence_sums(const at::Tensor& values, const LossBatch& batch);

/// The sum, or the mean, over the loss tokens of each token's own sequence, [M] -> [M].
at::Tensor sum_over_sequence(const at::Tensor& values, const LossBatch& batch);
at::Tensor mean_over_sequence(const at::Tensor& values, const LossBatch& batch);

/// Each decision's weight times its share of the loss [M], 0 outside the loss. The sum over the
/// optimizer step's decisions of share * token loss is the loss.
at::Tensor aggregation_weights(const LossBatch& batch,
                               const Denominators& denominators,
                               const LossSettings& settings,
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
LossStats sum_stats(const StatsInputs& inputs, const at::Tensor& in_loss);

}  // namespace sgrpo::algorithm
