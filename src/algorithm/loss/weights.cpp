#include "algorithm/loss/weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

/// old - sampler of what the sampler knows, 0 elsewhere: on injected tokens nobody drew anything.
at::Tensor sampler_gap(const LossInputs& inputs) {
  const at::Tensor& sampler = inputs.batch.sampler_logprobs;
  if (!sampler.defined()) return at::zeros_like(inputs.old);
  const at::Tensor known = sampler.isfinite() & ~inputs.batch.is_injected & inputs.batch.in_loss();
  return at::where(known, inputs.old - sampler, 0.0);
}

/// Sequences that stay in the policy term, as [M] bool. Source: arXiv 2512.02556, eq. 9.
at::Tensor is_near_policy(const LossInputs& inputs, double threshold) {
  const LossBatch& batch = inputs.batch;
  const at::Tensor& rollout =
      batch.sampler_logprobs.defined() ? batch.sampler_logprobs : inputs.old;
  const at::Tensor known = rollout.isfinite() & ~batch.is_injected;
  const at::Tensor gap = at::where(known, rollout - inputs.policy.detach(), 0.0);
  return (batch.advantages >= 0) | (mean_over_sequence(gap, batch) <= threshold);
}

}  // namespace

at::Tensor sampler_correction(const LossInputs& inputs, const TisOptions& tis) {
  if (tis.mode == TisMode::kOff) return {};
  at::Tensor gap = sampler_gap(inputs);
  const bool is_sequence =
      tis.mode == TisMode::kSequenceTruncate || tis.mode == TisMode::kSequenceMask;
  if (is_sequence) gap = sum_over_sequence(gap, inputs.batch);
  const at::Tensor ratio = ratio_of(gap, at::zeros_like(gap));
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const double low = tis.min.value_or(0.0), high = tis.max.value_or(kNone);
  if (tis.mode == TisMode::kTokenTruncate || tis.mode == TisMode::kSequenceTruncate)
    return ratio.clamp(low, high);
  return at::where((ratio < low) | (ratio > high), 0.0, ratio);
}

at::Tensor weigh_policy_term(const at::Tensor& token_losses,
                             const LossInputs& inputs,
                             const AlgorithmOptions& options,
                             bool corrects) {
  at::Tensor weighed = token_losses;
  if (options.off_policy_mask)
    weighed = at::where(is_near_policy(inputs, *options.off_policy_mask), weighed, 0.0);
  if (options.top_entropy_quantile < 1.0) {
    TORCH_CHECK_VALUE(inputs.context.entropy_floor.has_value(),
                      "algorithm.top_entropy_quantile: no entropy_floor in context");
    weighed = at::where(inputs.entropy >= *inputs.context.entropy_floor, weighed, 0.0);
  }
  return corrects && inputs.correction.defined() ? weighed * inputs.correction : weighed;
}

double quantile_of(const at::Tensor& values, double quantile) {
  const at::Tensor sorted = std::get<0>(values.to(at::kCPU, at::kDouble).sort());
  const auto last = static_cast<double>(sorted.numel() - 1);
  double rank = quantile * last;
  // 1 - 0.2 times a count may miss a whole number by rounding alone, and with it a token.
  if (std::abs(rank - std::round(rank)) < 1e-9 * (last + 1)) rank = std::round(rank);
  const double below = std::floor(rank);
  const auto index = static_cast<int64_t>(below);
  const auto* value = sorted.const_data_ptr<double>();
  const double next = value[std::min<int64_t>(index + 1, sorted.numel() - 1)];
  return value[index] + (rank - below) * (next - value[index]);
}

}  // namespace sgrpo::algorithm
