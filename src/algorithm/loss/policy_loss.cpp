#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

/// The KL estimator of every token, or undefined without a reference.
at::Tensor kl_of(const LossInputs& inputs, const AlgorithmOptions& options) {
  const at::Tensor& reference = inputs.batch.ref_logprobs;
  TORCH_CHECK_VALUE(reference.defined() || !options.has_kl_loss(),
                    "algorithm.kl_coef is ",
                    options.kl_coef,
                    ", but the batch has no ref_logprobs");
  return reference.defined() ? kl_estimate(options.kl_estimator, inputs.policy, reference)
                             : at::Tensor();
}

}  // namespace

ClipFlags TokenLoss::clip_flags(const at::Tensor& /*policy_logprobs*/,
                                const at::Tensor& /*old_logprobs*/,
                                const TrainBatch& batch) const {
  return {at::zeros_like(batch.loss_mask), at::zeros_like(batch.loss_mask)};
}

LossResult policy_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& entropy,
                       const TrainBatch& batch,
                       const LossSettings& settings) {
  const AlgorithmOptions& options = settings.algorithm;
  const InjectionOptions& injection = settings.injection;
  const auto loss = LossRegistry::get("loss", options.loss)(settings);
  const LossInputs inputs = prepare_inputs(policy_logprobs, entropy, batch, injection);
  const at::Tensor& injected = batch.is_injected;

  at::Tensor tokens = loss->token_loss(inputs.policy, inputs.old, inputs.batch);
  ClipFlags clip = loss->clip_flags(inputs.policy.detach(), inputs.old, inputs.batch);
  if (injection.gt_shape != GtShape::kNone) {
    tokens =
        at::where(injected, shaped_loss(inputs.policy, inputs.batch.advantages, injection), tokens);
    clip = {clip.low & ~injected, clip.high & ~injected};
  }
  const at::Tensor kl = kl_of(inputs, options);
  if (options.has_kl_loss()) {
    tokens = tokens + options.kl_coef * (injection.gt_kl ? kl : kl * ~injected);
  }
  if (options.entropy_coef > 0) tokens = tokens - options.entropy_coef * inputs.entropy;

  const at::Tensor weights = aggregation_weights(
      batch, options.aggregation, settings.aggregation_constant, tokens.scalar_type());
  const at::Tensor total = at::dot(tokens, weights);
  const at::Tensor current = inputs.policy.detach();
  return {.loss = total,
          .stats = sum_stats(
              {.loss = total,
               .sampled = ~injected,
               .injected = injected,
               .kl = kl,
               .entropy = inputs.entropy,
               .logprobs = current,
               .abs_advantage_ratio = inputs.batch.advantages.abs() * ratio_of(current, inputs.old),
               .clip = clip},
              batch.loss_mask)};
}

LossResult sft_loss(const at::Tensor& policy_logprobs,
                    const at::Tensor& entropy,
                    const TrainBatch& batch,
                    const LossSettings& settings) {
  const AlgorithmOptions& options = settings.algorithm;
  const LossInputs inputs = prepare_inputs(policy_logprobs, entropy, batch, settings.injection);
  const at::Tensor kl = kl_of(inputs, options);
  at::Tensor tokens = -inputs.policy;
  if (options.has_kl_loss()) tokens = tokens + options.kl_coef * kl;
  const at::Tensor weights = aggregation_weights(
      batch, Aggregation::kTokenMean, settings.aggregation_constant, tokens.scalar_type());
  const at::Tensor total = at::dot(tokens, weights);
  return {.loss = total,
          .stats = sum_stats({.loss = total,
                              .sampled = batch.loss_mask,
                              .injected = at::zeros_like(batch.loss_mask),
                              .kl = kl,
                              .entropy = inputs.entropy,
                              .logprobs = {},
                              .abs_advantage_ratio = {},
                              .clip = {}},
                             batch.loss_mask)};
}

}  // namespace sgrpo::algorithm
