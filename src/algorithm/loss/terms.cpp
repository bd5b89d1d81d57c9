#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

// exp(20) = 4.9e8: a ratio beyond it is broken anyway, and f32 stays finite. As verl.
constexpr double kLogRatioLimit = 20.0;

void check_tokens(const at::Tensor& tensor, const char* name, int64_t tokens) {
  TORCH_CHECK_VALUE(tensor.defined() && tensor.dim() == 1 && tensor.size(0) == tokens,
                    name,
                    tensor.defined() ? c10::str(" has shape ", tensor.sizes()) : " is missing",
                    ", expected [M] with M = ",
                    tokens);
}

}  // namespace

at::Tensor ratio_of(const at::Tensor& policy_logprobs, const at::Tensor& old_logprobs) {
  return (policy_logprobs - old_logprobs).clamp(-kLogRatioLimit, kLogRatioLimit).exp();
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

LossInputs prepare_inputs(const at::Tensor& policy_logprobs,
                          const at::Tensor& entropy,
                          const TrainBatch& batch,
                          const InjectionOptions& injection) {
  const int64_t tokens = batch.num_loss_tokens();
  check_tokens(policy_logprobs, "policy_logprobs", tokens);
  check_tokens(entropy, "entropy", tokens);
  check_tokens(batch.advantages, "advantages", tokens);
  const at::ScalarType dtype = policy_logprobs.scalar_type();
  // where(), not a product: a masked NaN must not reach the loss or its gradient.
  const auto masked = [&](const at::Tensor& values) {
    return at::where(batch.loss_mask, values.to(dtype), at::zeros({}, policy_logprobs.options()));
  };
  LossInputs inputs;
  inputs.policy = masked(policy_logprobs);
  inputs.entropy = masked(entropy);
  inputs.batch = batch;
  inputs.batch.advantages = masked(batch.advantages);
  if (batch.ref_logprobs.defined()) {
    check_tokens(batch.ref_logprobs, "ref_logprobs", tokens);
    inputs.batch.ref_logprobs = masked(batch.ref_logprobs);
  }
  const at::Tensor current = inputs.policy.detach();
  inputs.old = current;
  if (batch.old_logprobs.defined()) {
    check_tokens(batch.old_logprobs, "old_logprobs", tokens);
    inputs.old = masked(batch.old_logprobs);
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
at::Tensor sum_over_sequence(const at::Tensor& values, const TrainBatch& batch) {
  const at::Tensor counted = values * batch.loss_mask;
  return at::zeros({batch.num_sequences()}, counted.options())
      .index_add(0, batch.sequence_index, counted)
      .index_select(0, batch.sequence_index);
}

at::Tensor aggregation_weights(const TrainBatch& batch,
                               Aggregation aggregation,
                               double constant,
                               at::ScalarType dtype) {
  const at::Tensor mask = batch.loss_mask.to(dtype);
  if (aggregation == Aggregation::kTokenMean) {
    return mask / static_cast<double>(std::max<int64_t>(batch.num_loss_tokens_global, 1));
  }
  const auto sequences = static_cast<double>(std::max<int64_t>(batch.num_sequences_global, 1));
  if (aggregation == Aggregation::kSeqMeanTokenSum) return mask / sequences;
  if (aggregation == Aggregation::kSeqMeanTokenSumConst) return mask / (sequences * constant);
  const at::Tensor lengths = sum_over_sequence(mask, batch);
  return mask / (lengths.clamp_min(1) * sequences);
}

LossStats sum_stats(const StatsInputs& inputs, const at::Tensor& loss_mask) {
  const at::NoGradGuard no_grad;
  const auto total = [&](const at::Tensor& values, const at::Tensor& over) {
    if (!values.defined()) return at::zeros({}, loss_mask.options().dtype(at::kDouble));
    return (values.to(at::kDouble) * over).sum();
  };
  const at::Tensor sampled = inputs.sampled & loss_mask;
  const at::Tensor injected = inputs.injected & loss_mask;
  const bool clips = inputs.clip.low.defined();
  const at::Tensor clipped = clips ? inputs.clip.low | inputs.clip.high : at::Tensor();
  std::vector<at::Tensor> sums(LossStats::kNumStats);
  sums[LossStats::kLoss] = inputs.loss.detach().to(at::kDouble);
  sums[LossStats::kSampledTokens] = sampled.sum(at::kDouble);
  sums[LossStats::kKl] = total(inputs.kl, sampled);
  sums[LossStats::kEntropy] = total(inputs.entropy, sampled);
  sums[LossStats::kClipLow] = total(inputs.clip.low, loss_mask);
  sums[LossStats::kClipHigh] = total(inputs.clip.high, loss_mask);
  sums[LossStats::kLossTokens] = loss_mask.sum(at::kDouble);
  sums[LossStats::kAbsAdvantageRatio] = total(inputs.abs_advantage_ratio, loss_mask);
  sums[LossStats::kInjectedTokens] = injected.sum(at::kDouble);
  sums[LossStats::kInjectedLogprob] = total(inputs.logprobs, injected);
  sums[LossStats::kInjectedClipped] = total(clipped, injected);
  sums[LossStats::kInjectedEntropy] = total(inputs.entropy, injected);
  return {at::stack(sums)};
}

}  // namespace sgrpo::algorithm
