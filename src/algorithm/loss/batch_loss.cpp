#include <limits>

#include "algorithm/loss/terms.h"
#include "algorithm/loss/weights.h"

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

/// Of a table on the host.
at::Tensor rows_that_count(const at::Tensor& table) {
  return table.index_select(0, (~table.select(1, 0).isnan()).nonzero().squeeze(1));
}

}  // namespace

ClipFlags TokenLoss::clip_flags(const LossInputs& inputs) const {
  const at::Tensor none = at::zeros_like(inputs.batch.is_injected);
  return {.low = none, .high = none};
}

at::Tensor TokenLoss::ratio(const LossInputs& inputs) const {
  return ratio_of(inputs.policy, inputs.old);
}

at::Tensor TokenLoss::statistics(const LossInputs& /*inputs*/) const { return {}; }

LossResult batch_loss(const Scores& scores,
                      const LossBatch& batch,
                      const LossSettings& settings,
                      const StepContext& context) {
  const AlgorithmOptions& options = settings.algorithm;
  const InjectionOptions& injection = settings.injection;
  const auto loss = LossRegistry::get("loss", options.loss)(settings);
  LossInputs inputs = prepare_inputs(scores, batch, injection, context);
  inputs.correction = sampler_correction(inputs, options.tis);
  const at::Tensor& injected = batch.is_injected;

  at::Tensor tokens = loss->token_loss(inputs);
  ClipFlags clip = loss->clip_flags(detached(inputs));
  if (injection.gt_shape != GtShape::kNone) {
    tokens =
        at::where(injected, shaped_loss(inputs.policy, inputs.batch.advantages, injection), tokens);
    clip = {.low = clip.low & ~injected, .high = clip.high & ~injected};
  }
  tokens = weigh_policy_term(tokens, inputs, options, !loss->takes_correction());
  at::Tensor kl = kl_of(inputs, options);
  if (options.kl_importance && options.has_kl_loss()) kl = kl * loss->ratio(inputs);
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

std::vector<int64_t> statistics_columns(const LossSettings& settings) {
  std::vector<int64_t> columns;
  const auto loss = LossRegistry::get("loss", settings.algorithm.loss)(settings);
  if (loss->num_statistics() > 0) columns.push_back(loss->num_statistics());
  if (settings.algorithm.top_entropy_quantile < 1.0) columns.push_back(1);
  return columns;
}

std::vector<at::Tensor> batch_statistics(const Scores& scores,
                                         const LossBatch& batch,
                                         const LossSettings& settings,
                                         const StepContext& context) {
  const at::NoGradGuard no_grad;
  const auto loss = LossRegistry::get("loss", settings.algorithm.loss)(settings);
  const LossInputs inputs = prepare_inputs(scores, batch, settings.injection, context);
  std::vector<at::Tensor> tables;
  if (loss->num_statistics() > 0) tables.push_back(loss->statistics(inputs).to(at::kDouble));
  if (settings.algorithm.top_entropy_quantile < 1.0) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    tables.push_back(
        at::where(batch.in_loss(), inputs.entropy.to(at::kDouble), kNone).unsqueeze(1));
  }
  return tables;
}

void add_statistics(const std::vector<at::Tensor>& tables,
                    const LossSettings& settings,
                    at::Device device,
                    StepContext& mutable_context) {
  size_t next = 0;
  if (LossRegistry::get("loss", settings.algorithm.loss)(settings)->num_statistics() > 0)
    mutable_context.statistics = rows_that_count(tables.at(next++)).to(device);
  const double kept = settings.algorithm.top_entropy_quantile;
  if (kept < 1.0) {
    const at::Tensor entropies = rows_that_count(tables.at(next));
    mutable_context.entropy_floor =
        entropies.numel() == 0 ? 0.0 : quantile_of(entropies.flatten(), 1.0 - kept);
  }
}

LossSettings sft_settings(LossSettings settings) {
  settings.algorithm.loss = "sft";
  settings.algorithm.params = core::Json::object();
  settings.algorithm.aggregation = Aggregation::kTokenMean;
  settings.algorithm.entropy_coef = 0.0;
  settings.algorithm.tis.mode = TisMode::kOff;
  settings.algorithm.top_entropy_quantile = 1.0;
  settings.algorithm.off_policy_mask = std::nullopt;
  settings.algorithm.kl_importance = false;
  settings.algorithm.kl_place = KlPlace::kLoss;
  settings.algorithm.kl_adaptive = nullptr;
  settings.algorithm.adaptive_entropy = nullptr;
  return settings;
}

std::optional<DemonstrationPlan> plan_demonstrations(const LossSettings& settings,
                                                     int64_t step,
                                                     int64_t steps) {
  const auto share =
      LossRegistry::get("loss", settings.algorithm.loss)(settings)->demonstrations(step, steps);
  if (!share) return std::nullopt;
  DemonstrationPlan plan{
      .own_weight = share->own_weight, .weight = share->weight, .loss = sft_settings(settings)};
  plan.loss.algorithm.kl_coef = 0.0;
  if (share->weighs_by_phi) plan.loss.algorithm.params["loss"] = {{"phi", true}};
  return plan;
}

LossSettings kl_settings(LossSettings settings) {
  settings = sft_settings(std::move(settings));
  settings.algorithm.loss = "kl";
  settings.algorithm.kl_coef = 1.0;
  return settings;
}

}  // namespace sgrpo::algorithm
