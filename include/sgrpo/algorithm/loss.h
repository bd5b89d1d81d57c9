// Token log-probs -> loss and its metrics. Losses know no model: five numbers test them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/options.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/types/loss_batch.h"

namespace sgrpo::algorithm {

/// Sums over this micro-batch that the step's metrics are made of (host doubles are read once a
/// step by the trainer).
struct LossStats {
  at::Tensor sums;  // [kNumStats] f64, detached, on the log-probs' device
  enum Index : int64_t {
    kLoss,               // this micro-batch's share; those of one optimizer step add up to its loss
    kSampledTokens,      // decisions of sampled members
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

/// What a loss knows of the optimizer step around its micro-batch.
struct StepContext {
  int64_t step = 1;   // of the run, from 1
  int64_t steps = 1;  // of the run in all
  Denominators denominators;
  /// The rows that the loss declared, of all micro-batches and ranks under one another:
  /// [rows, num_statistics] f64 on the log-probs' device; undefined if it declared none.
  at::Tensor statistics;
  /// Entropy from which on a token stays in the policy term (algorithm.top_entropy_quantile).
  std::optional<double> entropy_floor;
  core::RandomKey key;  // seed, step, rank and number of the update, for losses that draw
};

/// What a loss reads, [M] each, dtype of the policy's log-probs (f32, or f64 in tests). Decisions
/// outside the loss are neutral: log-probs, entropy and advantage 0, whatever they held.
struct LossInputs {
  at::Tensor policy;      // with gradient
  at::Tensor old;         // injected decisions by injection.gt_old_logprob
  at::Tensor entropy;     // with gradient if the entropy is part of the loss
  at::Tensor correction;  // sg[weight] for algorithm.tis; undefined with mode off
  LossBatch batch;        // advantages, reference and sampler log-probs converted and masked
  StepContext context;
};

/// What a loss puts beside the rollouts of a step: -log p of demonstrations, rows of a stream of
/// their own, at `weight`; the rollouts then have `own_weight`.
struct DemonstrationShare {
  double own_weight = 1.0, weight = 0.0;
  bool weighs_by_phi = false;  // each token by p (1 - p), detached
};

/// One token loss (clipped, ...).
class TokenLoss {
 public:
  virtual ~TokenLoss() = default;
  /// The loss of each decision [M] before the KL and entropy terms and before aggregation; what is
  /// returned outside the loss is ignored.
  virtual at::Tensor token_loss(const LossInputs& inputs) const = 0;
  /// policy / old as this loss weighs with it, [M] with gradient: the token's unless it says
  /// otherwise. What algorithm.kl_importance multiplies by.
  virtual at::Tensor ratio(const LossInputs& inputs) const;
  /// Whether the loss itself weighs with `inputs.correction`.
  virtual bool takes_correction() const { return false; }
  /// For the clip_ratio metrics (`inputs` detached); a loss that does not clip reports none.
  virtual ClipFlags clip_flags(const LossInputs& inputs) const;
  /// Whether a member whose advantage is 0 changes parameters; if none does, groups without any
  /// other member are not packed.
  virtual bool learns_without_advantage() const { return false; }
  /// Whether a group must lie in one micro-batch as a whole.
  virtual bool needs_whole_groups() const { return false; }
  /// Whether it reads which list item a token belongs to.
  virtual bool reads_units() const { return false; }
  /// Whether it is a part of a step only, never `algorithm.loss`.
  virtual bool is_part_only() const { return false; }
  /// The share of step `step` (from 1) of `steps`; nothing if it takes no demonstrations.
  virtual std::optional<DemonstrationShare> demonstrations(int64_t /*step*/,
                                                           int64_t /*steps*/) const {
    return std::nullopt;
  }
  /// Columns of what this loss must know of the whole optimizer step before its first backward, and
  /// a micro-batch's rows of it, [rows, num_statistics] f64 (a row is a loss token, a group, ...)
  /// on the log-probs' device; how many rows count is not read from there: one that begins with NaN
  /// does not. Asked for without gradient, once per micro-batch; then no group is left out.
  virtual int64_t num_statistics() const { return 0; }
  virtual at::Tensor statistics(const LossInputs& inputs) const;
};
struct LossSettings {
  AlgorithmOptions algorithm;
  InjectionOptions injection;
  /// Resolved: algorithm.aggregation_constant or rollout.max_new_tokens
  double aggregation_constant = 1.0;
};

/// The whole loss of a micro-batch:
///   sum over decisions of weight * share * (token loss + kl_coef KL - entropy_coef entropy)
/// with shares from global denominators, so that micro-batches add up to one batch:
///   token_mean                1 / decisions
///   seq_mean_token_mean       1 / (sequences * decisions of the sequence)
///   seq_mean_token_sum        1 / sequences
///   seq_mean_token_sum_const  1 / (sequences * aggregation_constant)
///
/// Old log-prob of injected tokens (`injection.gt_old_logprob`): current_detached makes their ratio
/// exactly 1; pi_old_score takes batch.old_logprobs; one takes 0, so the ratio is p. A
/// decision without an old log-prob has ratio 1. Log-ratios are clamped to +-20 before exp.
///
/// `injection.gt_shape` replaces the ratio on injected tokens: their loss is -A F(p) with
/// dF/dlog p = c(p), the coefficient on the gradient of the log-prob:
///   p_over_p_plus_g   c = g p / (p + g)^2    F = p / (p + g)
///   trsft             c = min(1, p / alpha)  F = p / alpha below alpha, 1 + log(p / alpha) above
///   phi               c = p (1 - p)          F = p - p^2 / 2
///
/// Before the KL and entropy terms are added, the token loss is weighed (all detached):
///   tis                   w = exp(old - sampler) of the token, or of its sequence (the sum of its
///                         log-ratios), truncated to [min, max] or 0 outside; 1 where the sampler
///                         gave no log-prob, so on injected tokens
///   top_entropy_quantile  0 where the entropy is below context.entropy_floor
///   off_policy_mask       0 where A < 0 and the sequence's mean of sampler - policy (old - policy
///                         without sampler log-probs) is above it
///
/// The KL term needs batch.ref_logprobs; with gt_kl false it leaves injected tokens out.
/// Throws: core::UserError for an unknown loss; c10::ValueError for shapes or a missing reference
/// Source: arXiv 2402.03300 (clip, k3); 2504.14945, 2512.17636, 2508.11408 (shapes); 2506.01939
/// (high-entropy tokens); 2512.02556 (eq. 9 and the KL's ratio)
LossResult batch_loss(const Scores& scores,
                      const LossBatch& batch,
                      const LossSettings& settings,
                      const StepContext& context);

/// Refuses parameters and options of the loss that make no sense, alone or together.
/// Throws core::UserError naming key, value and range.
void check_loss(const AlgorithmOptions& options, const InjectionOptions& injection);

/// Columns of the tables that loss and options must know of a whole optimizer step before its first
/// backward; empty if they need none.
std::vector<int64_t> statistics_columns(const LossSettings& settings);

/// The rows of those tables in this micro-batch, without gradient, [rows, columns] f64 on the
/// log-probs' device; a row that begins with NaN does not count. Those of all micro-batches and
/// ranks are put under one another on the host, table by table, and given to `add_statistics`.
std::vector<at::Tensor> batch_statistics(const Scores& scores,
                                         const LossBatch& batch,
                                         const LossSettings& settings,
                                         const StepContext& context);

/// Puts the gathered tables, without the rows that do not count, into the context of a step on
/// `device`.
void add_statistics(const std::vector<at::Tensor>& tables,
                    const LossSettings& settings,
                    at::Device device,
                    StepContext& mutable_context);

/// Settings of supervised steps under `settings`: loss `sft`, normalised over all decisions of the
/// optimizer step whatever `aggregation` says, no entropy term; its KL term stays, with the
/// coefficient of the configuration.
LossSettings sft_settings(LossSettings settings);

/// A step's demonstrations as a part of it.
struct DemonstrationPlan {
  double own_weight = 1.0, weight = 0.0;
  LossSettings loss;  // `sft`, over all tokens of the part, without KL term
};

/// What the loss of `settings` makes of demonstrations in a step; nothing if it takes none.
std::optional<DemonstrationPlan> plan_demonstrations(const LossSettings& settings,
                                                     int64_t step,
                                                     int64_t steps);

/// Settings of a part that is held to the reference: loss `kl` and weight 1 on the configured
/// estimator, over all tokens of the part.
LossSettings kl_settings(LossSettings settings);

/// k1 = -d, k2 = d^2/2, k3 = e^d - d - 1 with d = ref - policy (clamped to +-20). Shapes: [M], [M]
/// -> [M].
at::Tensor kl_estimate(KlEstimator estimator,
                       const at::Tensor& policy_logprobs,
                       const at::Tensor& ref_logprobs);

}  // namespace sgrpo::algorithm

/// Class(const LossSettings&, MethodParams&): what it does not ask for is refused.
#define SGRPO_REGISTER_LOSS(name, Class)                                                    \
  static const bool registered_##Class = ::sgrpo::algorithm::LossRegistry::add(             \
      name,                                                                                 \
      [](const ::sgrpo::algorithm::LossSettings& settings)                                  \
          -> std::unique_ptr<::sgrpo::algorithm::TokenLoss> {                               \
        const auto own = ::sgrpo::algorithm::own_params(settings.algorithm.params, "loss"); \
        ::sgrpo::algorithm::MethodParams params(own, "algorithm.params.loss");              \
        auto loss = std::make_unique<Class>(settings, params);                              \
        params.finish();                                                                    \
        return loss;                                                                        \
      })
