// Token log-probs -> loss and its metrics. Losses know no model: five numbers test them.
#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/core/registry.h"
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

/// One token loss (clipped, ...). Inputs are [M], dtype of policy_logprobs (f32, or f64 in tests).
/// Returns the per-token loss [M] before the KL and entropy terms and before aggregation.
class TokenLoss {
 public:
  virtual ~TokenLoss() = default;
  virtual at::Tensor token_loss(const at::Tensor& policy_logprobs,
                                const at::Tensor& old_logprobs,
                                const TrainBatch& batch) const = 0;
};
struct LossSettings {
  AlgorithmOptions algorithm;
  InjectionOptions injection;
  double aggregation_constant =
      1.0;  // resolved: algorithm.aggregation_constant or rollout.max_new_tokens
};
using LossFactory = std::unique_ptr<TokenLoss> (*)(const LossSettings& settings);
struct LossTag {};
using LossRegistry = core::Registry<LossFactory, LossTag>;

/// The whole policy loss: token loss with the injected member's old log-prob rule and shape,
/// k1/k2/k3 KL, entropy bonus, aggregation with global denominators (batch.num_loss_tokens_global,
/// num_sequences_global). Log-ratios are clamped to
/// +-20 before exp.
/// Shapes: policy_logprobs [M] with gradient, entropy [M] (with gradient iff entropy_coef > 0)
/// Throws: core::UserError for an unknown loss
LossResult policy_loss(const at::Tensor& policy_logprobs,
                       const at::Tensor& entropy,
                       const TrainBatch& batch,
                       const LossSettings& settings);

/// SFT: sum of -log p over loss tokens / num_loss_tokens_global (+ kl_coef * KL, same estimator).
LossResult sft_loss(const at::Tensor& policy_logprobs,
                    const at::Tensor& entropy,
                    const TrainBatch& batch,
                    const LossSettings& settings);

/// k1 = -d, k2 = d^2/2, k3 = e^d - d - 1 with d = ref - policy (clamped to +-20). Shapes: [M], [M]
/// -> [M].
at::Tensor kl_estimate(const std::string& estimator,
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
