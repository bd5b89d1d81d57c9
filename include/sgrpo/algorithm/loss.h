// Token log-probs -> loss and its metrics. Losses know no model: five numbers test them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/types/train_batch.h"

namespace sgrpo::algorithm {

/// Sums over this micro-batch that the step's metrics are made of (host doubles are read once a
/// step by the trainer).
struct LossStats {
  at::Tensor sums;  // [kNumStats] f64, detached, on the log-probs' device
  enum Index : int64_t {
    kLoss,  // this micro-batch's share of the loss (shares of one optimizer step add up to its
            // loss)
    kSampledTokens,      // loss tokens of sampled members
    kKl,                 // sum of the KL estimator over sampled tokens (0 without reference)
    kEntropy,            // sum of entropies over sampled tokens
    kClipLow,            // tokens whose ratio is clipped below (A < 0), over all loss tokens
    kClipHigh,           // above (A > 0)
    kLossTokens,         // all loss tokens
    kAbsAdvantageRatio,  // sum of |advantage| * ratio
    kInjectedTokens,     // loss tokens of injected members
    kInjectedLogprob,    // sum of their log-probs
    kInjectedClipped,    // injected tokens whose ratio is clipped
    kInjectedEntropy,    // sum of their entropies
    kNumStats
  };
};

/// The loss of one micro-batch; shares of all micro-batches of an optimizer step add up to the
/// step's loss.
struct LossResult {
  at::Tensor loss;  // [] f32 or f64 with gradient
  LossStats stats;
};

/// Which tokens' ratios a loss clipped, [M] bool each: below its range, above it. Only where that
/// changes the loss (`clipped`: below with A < 0, above with A > 0).
struct ClipFlags {
  at::Tensor low;
  at::Tensor high;
};

/// One token loss (clipped, ...). Inputs are [M], dtype of policy_logprobs (f32, or f64 in tests).
/// Returns the per-token loss [M] before the KL and entropy terms and before aggregation. Masked
/// tokens arrive with log-probs and advantages of 0; what is returned for them is ignored.
class TokenLoss {
 public:
  virtual ~TokenLoss() = default;
  virtual at::Tensor token_loss(const at::Tensor& policy_logprobs,
                                const at::Tensor& old_logprobs,
                                const TrainBatch& batch) const = 0;
  /// For the clip_ratio metrics; a loss that does not clip reports none.
  virtual ClipFlags clip_flags(const at::Tensor& policy_logprobs,
                               const at::Tensor& old_logprobs,
                               const TrainBatch& batch) const;
  /// Names of the keys that it reads from algorithm.params.
  virtual std::vector<std::string> param_names() const { return {}; }
};
struct LossSettings {
  AlgorithmOptions algorithm;
  InjectionOptions injection;
  double aggregation_constant =
      1.0;  // resolved: algorithm.aggregation_constant or rollout.max_new_tokens
};

/// The whole policy loss of a micro-batch:
///   sum over loss tokens of weight * (token loss + kl_coef KL - entropy_coef entropy)
/// with weights from global denominators, so that micro-batches add up to one batch:
///   token_mean                1 / num_loss_tokens_global
///   seq_mean_token_mean       1 / (num_sequences_global * tokens of the sequence)
///   seq_mean_token_sum        1 / num_sequences_global
///   seq_mean_token_sum_const  1 / (num_sequences_global * aggregation_constant)
///
/// Old log-prob of injected tokens (`injection.gt_old_logprob`): current_detached makes their ratio
/// exactly 1; pi_old_score takes batch.old_logprobs; one takes 0, so the ratio is p. Without
/// batch.old_logprobs every token's ratio is 1. Log-ratios are clamped to +-20 before exp.
///
/// `injection.gt_shape` replaces the ratio on injected tokens: their loss is -A F(p) with
/// dF/dlog p = c(p), the coefficient on the gradient of the log-prob:
///   p_over_p_plus_g   c = g p / (p + g)^2    F = p / (p + g)
///   trsft             c = min(1, p / alpha)  F = p / alpha below alpha, 1 + log(p / alpha) above
///   phi               c = p (1 - p)          F = p - p^2 / 2
///
/// The KL term needs batch.ref_logprobs; with gt_kl false it leaves injected tokens out.
/// Shapes: policy_logprobs [M] with gradient, entropy [M] (with gradient iff entropy_coef > 0)
/// Throws: core::UserError for an unknown loss; c10::ValueError for shapes or a missing reference
/// Source: arXiv 2402.03300 (clip, k3); 2504.14945, 2512.17636, 2508.11408 (shapes)
LossResult policy_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& entropy,
                       const TrainBatch& batch,
                       const LossSettings& settings);

/// SFT: sum over loss tokens of (-log p + kl_coef KL) / num_loss_tokens_global, whatever
/// `aggregation` says: micro-batches of unequal lengths add up to the full batch. In its stats
/// every loss token counts as sampled. Shapes: as policy_loss
LossResult sft_loss(const at::Tensor& policy_logprobs,
                    const at::Tensor& entropy,
                    const TrainBatch& batch,
                    const LossSettings& settings);

/// k1 = -d, k2 = d^2/2, k3 = e^d - d - 1 with d = ref - policy (clamped to +-20). Shapes: [M], [M]
/// -> [M].
at::Tensor kl_estimate(KlEstimator estimator,
                       const at::Tensor& policy_logprobs,
                       const at::Tensor& ref_logprobs);

}  // namespace sgrpo::algorithm

#define SGRPO_REGISTER_LOSS(name, Class)                                        \
  static const bool registered_##Class = ::sgrpo::algorithm::LossRegistry::add( \
      name,                                                                     \
      [](const ::sgrpo::algorithm::LossSettings& settings)                      \
          -> std::unique_ptr<::sgrpo::algorithm::TokenLoss> {                   \
        return std::make_unique<Class>(settings);                               \
      })
