#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

/// The KL estimator of every decision, or undefined without a reference.
at::Tensor kl_of(const LossInputs& inputs, const AlgorithmOptions& options) {
  const at::Tensor& reference = inputs.batch.ref_logprobs;
  TORCH_CHECK_VALUE(
      reference.defined() || options.kl_coef == 0 || options.kl_place != KlPlace::kLoss,
      "algorithm.kl_coef is ",
      options.kl_coef,
      ", but the batch has no ref_logprobs");
  return reference.defined() ? kl_estimate(options.kl_estimator, inputs.policy, reference)
                             : at::Tensor();
}

LossInputs detached(LossInputs inputs) {
  inputs.policy = inputs.policy.detach();
  inputs.entropy = inputs.entropy.detach();
  return inputs;
}

}  // namespace

ClipFlags TokenLoss::clip_flags(const LossInputs& inputs) const {
  const at::Tensor none = at::zeros_like(inputs.batch.is_injected);
  return {.low = none, .high = none};
}

at::Tensor TokenLoss::statistics(const LossInputs& /*inputs*/) const { return {}; }

LossResult batch_loss(const Scores& scores,
                      const LossBatch& batch,
                      const LossSettings& settings,
                      const StepContext& context) {
  const AlgorithmOptions& options = settings.algorithm;
  const InjectionOptions& injection = settings.injection;
  const auto loss = LossRegistry::get("loss", options.loss)(settings);
  const LossInputs inputs = prepare_inputs(scores, batch, injection, context);
  const at::Tensor& injected = batch.is_injected;

  at::Tensor tokens = loss->token_loss(inputs);
  ClipFlags clip = loss->clip_flags(detached(inputs));
  if (injection.gt_shape != GtShape::kNone) {
    tokens =
        at::where(injected, shaped_loss(inputs.policy, inputs.batch.advantages, injection), tokens);
    clip = {.low = clip.low & ~injected, .high = clip.high & ~injected};
  }
  const at::Tensor kl = kl_of(inputs, options);
  if (options.has_kl_loss()) {
    tokens = tokens + options.kl_coef * (injection.gt_kl ? kl : kl * ~injected);
  }
  if (options.entropy_coef > 0) tokens = tokens - options.entropy_coef * inputs.entropy;

  const at::Tensor total = at::dot(
      tokens, aggregation_weights(batch, context.denominators, settings, tokens.scalar_type()));
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
              batch.in_loss())};
}

at::Tensor loss_statistics(const Scores& scores,
                           const LossBatch& batch,
                           const LossSettings& settings,
                           const StepContext& context) {
  const at::NoGradGuard no_grad;
  const auto loss = LossRegistry::get("loss", settings.algorithm.loss)(settings);
  if (loss->num_statistics() == 0) return {};
  return loss->statistics(prepare_inputs(scores, batch, settings.injection, context));
}

LossSettings sft_settings(LossSettings settings) {
  settings.algorithm.loss = "sft";
  settings.algorithm.params = core::Json::object();
  settings.algorithm.aggregation = Aggregation::kTokenMean;
  settings.algorithm.entropy_coef = 0.0;
  settings.algorithm.kl_place = KlPlace::kLoss;
  return settings;
}

LossSettings kl_settings(LossSettings settings) {
  settings = sft_settings(std::move(settings));
  settings.algorithm.loss = "kl";
  settings.algorithm.kl_coef = 1.0;
  return settings;
}

}  // namespace sgrpo::algorithm
