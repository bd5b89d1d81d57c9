#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

// exp(20) = 4.9e8: a ratio beyond it is broken anyway, and f32 stays finite. As verl.
constexpr double kLogRatioLimit = 20.0;

}  // namespace

at::Tensor ratio_of(const at::Tensor& policy_logprobs, const at::Tensor& old_logprobs) {
  return (policy_logprobs - old_logprobs).clamp(-kLogRatioLimit, kLogRatioLimit).exp();
}

at::Tensor sequence_ratio(const LossInputs& inputs) {
  const at::Tensor mean = mean_over_sequence(inputs.policy - inputs.old, inputs.batch);
  return ratio_of(mean, at::zeros_like(mean));
}

at::Tensor kl_estimate(KlEstimator estimator,
                       const at::Tensor& policy_logprobs,
                       const at::Tensor& ref_logprobs) {
  const at::Tensor d = (ref_logprobs - policy_logprobs).clamp(-kLogRatioLimit, kLogRatioLimit);
  switch (estimator) {
    case KlEstimator::kK1: return -d;
    case KlEstimator::kK2: return d * d / 2;
    case KlEstimator::kK3: break;
  }
  return d.expm1() - d;
}

LossInputs prepare_inputs(const Scores& scores,
                          const LossBatch& batch,
                          const InjectionOptions& injection,
                          const StepContext& context) {
  const int64_t decisions = batch.num_decisions();
  const auto check = [&](const at::Tensor& tensor, const char* name) {
    TORCH_CHECK_VALUE(tensor.defined() && tensor.dim() == 1 && tensor.size(0) == decisions,
                      name,
                      tensor.defined() ? c10::str(" has shape ", tensor.sizes()) : " is missing",
                      ", expected [M] with M = ",
                      decisions);
  };
  check(scores.logprobs, "policy_logprobs");
  check(scores.entropy, "entropy");
  check(batch.advantages, "advantages");
  const at::Tensor in_loss = batch.in_loss();
  // where(), not a product: a masked NaN must not reach the loss or its gradient.
  const auto masked = [&](const at::Tensor& values, const char* name) {
    check(values, name);
    return at::where(in_loss,
                     values.to(scores.logprobs.scalar_type()),
                     at::zeros({}, scores.logprobs.options()));
  };
  LossInputs inputs{.policy = masked(scores.logprobs, "policy_logprobs"),
                    .old = {},
                    .entropy = masked(scores.entropy, "entropy"),
                    .correction = {},
                    .batch = batch,
                    .context = context};
  inputs.batch.advantages = masked(batch.advantages, "advantages");
  if (batch.ref_logprobs.defined())
    inputs.batch.ref_logprobs = masked(batch.ref_logprobs, "ref_logprobs");
  if (batch.sampler_logprobs.defined())
    inputs.batch.sampler_logprobs = masked(batch.sampler_logprobs, "sampler_logprobs");
  const at::Tensor current = inputs.policy.detach();
  inputs.old = current;
  if (batch.old_logprobs.defined()) {
    const at::Tensor old = masked(batch.old_logprobs, "old_logprobs");
    inputs.old = at::where(old.isnan(), current, old);  // NaN: not given
  }
  if (injection.gt_old_logprob == GtOldLogprob::kCurrentDetached) {
    inputs.old = at::where(batch.is_injected, current, inputs.old);
  } else if (injection.gt_old_logprob == GtOldLogprob::kOne) {
    inputs.old = at::where(batch.is_injected, at::zeros_like(current), inputs.old);
  }
  return inputs;
}

at::Tensor shaped_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& advantages,
                       const InjectionOptions& injection) {
  const at::Tensor p = policy_logprobs.exp();
  at::Tensor shape;
  if (injection.gt_shape == GtShape::kPOverPPlusG) {
    shape = p / (p + injection.shape_g);
  } else if (injection.gt_shape == GtShape::kTrsft) {
    const double log_alpha = std::log(injection.shape_alpha);
    shape = at::where(
        p < injection.shape_alpha, p / injection.shape_alpha, 1 + policy_logprobs - log_alpha);
  } else {
    TORCH_CHECK_VALUE(injection.gt_shape == GtShape::kPhi, "injection.gt_shape none has no shape");
    shape = p - p * p / 2;
  }
  return -advantages * shape;
}

// A sequence lies in one micro-batch as a whole, so its sums are known here.
at::Tensor sequence_sums(const at::Tensor& values, const LossBatch& batch) {
  const at::Tensor counted = values * batch.in_loss();
  return at::zeros({batch.num_sequences()}, counted.options())
      .index_add(0, batch.sequence_index, counted);
}

at::Tensor sum_over_sequence(const at::Tensor& values, const LossBatch& batch) {
  return sequence_sums(values, batch).index_select(0, batch.sequence_index);
}

at::Tensor mean_over_sequence(const at::Tensor& values, const LossBatch& batch) {
  const at::Tensor length = sum_over_sequence(at::ones_like(values), batch).clamp_min(1);
  return sum_over_sequence(values, batch) / length;
}

at::Tensor aggregation_weights(const LossBatch& batch,
                               const Denominators& denominators,
                               const LossSettings& settings,
                               at::ScalarType dtype) {
  const Aggregation aggregation = settings.algorithm.aggregation;
  const at::Tensor weight = batch.weight.to(dtype);
  if (aggregation == Aggregation::kTokenMean)
    return weight / static_cast<double>(std::max<int64_t>(denominators.decisions, 1));
  const auto sequences = static_cast<double>(std::max<int64_t>(denominators.sequences, 1));
  if (aggregation == Aggregation::kSeqMeanTokenSum) return weight / sequences;
  if (aggregation == Aggregation::kSeqMeanTokenSumConst)
    return weight / (sequences * settings.aggregation_constant);
  const at::Tensor lengths = sum_over_sequence(at::ones_like(weight), batch);
  return weight / (lengths.clamp_min(1) * sequences);
}

LossStats sum_stats(const StatsInputs& inputs, const at::Tensor& in_loss) {
  const at::NoGradGuard no_grad;
  const auto total = [&](const at::Tensor& values, const at::Tensor& over) {
    if (!values.defined()) return at::zeros({}, in_loss.options().dtype(at::kDouble));
    return (values.to(at::kDouble) * over).sum();
  };
  const at::Tensor sampled = inputs.sampled & in_loss;
  const at::Tensor injected = inputs.injected & in_loss;
  const bool clips = inputs.clip.low.defined();
  const at::Tensor clipped = clips ? inputs.clip.low | inputs.clip.high : at::Tensor();
  std::vector<at::Tensor> sums(LossStats::kNumStats);
  sums[LossStats::kLoss] = inputs.loss.detach().to(at::kDouble);
  sums[LossStats::kSampledTokens] = sampled.sum(at::kDouble);
  sums[LossStats::kKl] = total(inputs.kl, sampled);
  sums[LossStats::kEntropy] = total(inputs.entropy, sampled);
  sums[LossStats::kClipLow] = total(inputs.clip.low, in_loss);
  sums[LossStats::kClipHigh] = total(inputs.clip.high, in_loss);
  sums[LossStats::kLossTokens] = in_loss.sum(at::kDouble);
  sums[LossStats::kAbsAdvantageRatio] = total(inputs.abs_advantage_ratio, in_loss);
  sums[LossStats::kInjectedTokens] = injected.sum(at::kDouble);
  sums[LossStats::kInjectedLogprob] = total(inputs.logprobs, injected);
  sums[LossStats::kInjectedClipped] = total(clipped, injected);
  sums[LossStats::kInjectedEntropy] = total(inputs.entropy, injected);
  return {at::stack(sums)};
}

}  // namespace sgrpo::algorithm
