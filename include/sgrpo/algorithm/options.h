// Sections `injection` and `algorithm` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sgrpo/config/choice.h"
#include "sgrpo/config/fields.h"
#include "sgrpo/config/number_or.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/registry.h"

namespace sgrpo::algorithm {

/// Which groups get the ground truth.
enum class InjectWhen { kNever, kAllFail, kLowReward, kAlways };
constexpr auto names_of(InjectWhen) {
  return std::array{"never", "all_fail", "low_reward", "always"};
}

enum class InjectMode { kReplace, kAppend };
constexpr auto names_of(InjectMode) { return std::array{"replace", "append"}; }

/// Whom `replace` removes.
enum class Victim { kLowestLogprob, kLowestReward, kRandom, kFirst, kLast };
constexpr auto names_of(Victim) {
  return std::array{"lowest_logprob", "lowest_reward", "random", "first", "last"};
}

/// Where the reward of the ground truth comes from, if it is no number.
enum class GtReward { kJudged, kRelative };
constexpr auto names_of(GtReward) { return std::array{"judged", "relative"}; }

/// Old log-prob of injected tokens.
enum class GtOldLogprob { kCurrentDetached, kPiOldScore, kOne };
constexpr auto names_of(GtOldLogprob) {
  return std::array{"current_detached", "pi_old_score", "one"};
}

/// Coefficient on the gradient of injected tokens.
enum class GtShape { kNone, kPOverPPlusG, kTrsft, kPhi };
constexpr auto names_of(GtShape) { return std::array{"none", "p_over_p_plus_g", "trsft", "phi"}; }

/// How token losses become one number.
enum class Aggregation { kTokenMean, kSeqMeanTokenMean, kSeqMeanTokenSum, kSeqMeanTokenSumConst };
constexpr auto names_of(Aggregation) {
  return std::array{
      "token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_const"};
}

enum class KlEstimator { kK1, kK2, kK3 };
constexpr auto names_of(KlEstimator) { return std::array{"k1", "k2", "k3"}; }

/// In the loss, or subtracted from the reward.
enum class KlPlace { kLoss, kReward };
constexpr auto names_of(KlPlace) { return std::array{"loss", "reward"}; }

/// Where ground truths come from: the rows, or the most frequent answer of each group.
enum class Labels { kNone, kMajority };
constexpr auto names_of(Labels) { return std::array{"none", "majority"}; }

/// What becomes of a sampler/trainer ratio outside its range, per token or per sequence.
enum class TisMode { kOff, kTokenTruncate, kTokenMask, kSequenceTruncate, kSequenceMask };
constexpr auto names_of(TisMode) {
  return std::array{"off", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"};
}

/// Correction for a sampler whose log-probs are not the trainer's.
struct TisOptions {
  TisMode mode = TisMode::kOff;
  std::optional<double> min;
  std::optional<double> max = 3.0;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("mode",
          mode,
          FieldInfo{.help = "weigh the policy term with exp(old - sampler): per token or sequence, "
                            "truncated to the range or masked outside it"});
    visit("min", min, FieldInfo{.help = "lower bound; null = none", .low = 0, .high = 1});
    visit("max", max, FieldInfo{.help = "upper bound; null = none", .low = 1, .high = 1e6});
  }
};

/// What centred rewards are divided by: the group's deviation with divisor G-1 or G, nothing, or
/// the deviation of all rewards of the step.
enum class RewardScale { kSample, kPopulation, kNone, kBatch };
constexpr auto names_of(RewardScale) { return std::array{"sample", "population", "none", "batch"}; }

class Estimator;
struct AlgorithmOptions;
using EstimatorFactory = std::unique_ptr<Estimator> (*)(const AlgorithmOptions& options);
struct EstimatorTag {};
using EstimatorRegistry = core::Registry<EstimatorFactory, EstimatorTag>;

class TokenLoss;
struct LossSettings;
using LossFactory = std::unique_ptr<TokenLoss> (*)(const LossSettings& settings);
struct LossTag {};
using LossRegistry = core::Registry<LossFactory, LossTag>;

/// injection.when low_reward: a group whose best reward and whose population deviation are below
/// these.
struct LowReward {
  double max = 0.4, std = 0.1;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("max", max, FieldInfo{.help = "best reward", .low = -1e6, .high = 1e6});
    visit("std", std, FieldInfo{.help = "deviation of the rewards", .low = 0, .high = 1e6});
  }
};

/// injection.gt_reward relative: max(floor, min(1, scale * the group's best reward)).
struct GtRelative {
  double scale = 2.0, floor = 0.5;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("scale", scale, FieldInfo{.help = "times the best reward", .low = 1, .high = 1e6});
    visit("floor", floor, FieldInfo{.help = "lowest reward", .low = -1e6, .high = 1});
  }
};

struct InjectionOptions {
  InjectWhen when = InjectWhen::kAllFail;
  LowReward low_reward = {};
  InjectMode mode = InjectMode::kReplace;
  Victim victim = Victim::kLowestLogprob;
  config::NumberOr<GtReward> gt_reward = 1.0;
  GtRelative gt_relative = {};
  std::optional<std::string> gt_template = {};
  GtOldLogprob gt_old_logprob = GtOldLogprob::kCurrentDetached;
  bool gt_clip = true;
  bool gt_kl = true;
  GtShape gt_shape = GtShape::kNone;
  double shape_g = 0.1;
  double shape_alpha = 0.1;
  bool smoothing = false;
  double fail_weight = 1.0;
  int64_t warmup_steps = 0;
  double max_fraction = 1.0;

  /// Whether a group may grow by its ground truth.
  bool can_append() const { return when != InjectWhen::kNever && mode == InjectMode::kAppend; }

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("when",
          when,
          FieldInfo{.help = "never = GRPO; all_fail = CGI; low_reward = CGI for graded rewards; "
                            "always = every group"});
    visit.section("low_reward", low_reward);
    visit("mode", mode, FieldInfo{.help = "replace a member, or append one"});
    visit("victim",
          victim,
          FieldInfo{.help = "whom replace removes; lowest_logprob sums the sampler's log-probs"});
    visit("gt_reward",
          gt_reward,
          FieldInfo{.help = "reward of the injected ground truth; judged = what its text earns, "
                            "relative = by the group's best"});
    visit.section("gt_relative", gt_relative);
    visit("gt_template",
          gt_template,
          FieldInfo{.help = "text with {ground_truth}: writes it in the model's own format, where "
                            "a row has no ground_truth_completion"});
    visit(
        "gt_old_logprob",
        gt_old_logprob,
        FieldInfo{.help = "old log-prob of injected tokens: ratio 1 / scored once / pi_old := 1"});
    visit("gt_clip", gt_clip, FieldInfo{.help = "whether the injected member's ratio is clipped"});
    visit("gt_kl", gt_kl, FieldInfo{.help = "whether the KL term covers injected tokens"});
    visit(
        "gt_shape", gt_shape, FieldInfo{.help = "coefficient on the gradient of injected tokens"});
    visit("shape_g", shape_g, FieldInfo{.help = "g of p_over_p_plus_g", .low = 1e-9, .high = 1e9});
    visit("shape_alpha", shape_alpha, FieldInfo{.help = "alpha of trsft", .low = 1e-9, .high = 1});
    visit("smoothing",
          smoothing,
          FieldInfo{.help = "ViSurf: a group with a success gives the ground truth its mean"});
    visit("fail_weight",
          fail_weight,
          FieldInfo{
              .help = "multiplies negative advantages in injected groups", .low = 0, .high = 1e6});
    visit("warmup_steps",
          warmup_steps,
          FieldInfo{
              .help = "no injection in the first steps", .unit = "steps", .low = 0, .high = 1e12});
    visit(
        "max_fraction",
        max_fraction,
        FieldInfo{
            .help = "largest share of a step's groups that may be injected", .low = 0, .high = 1});
  }
};

struct AlgorithmOptions {
  config::Choice<EstimatorRegistry> estimator = "grpo";
  RewardScale std = RewardScale::kSample;
  double std_eps = 1.0e-4;
  double min_spread = 0.0;
  config::Choice<LossRegistry> loss = "clipped";
  Aggregation aggregation = Aggregation::kTokenMean;
  std::optional<double> aggregation_constant;
  double clip_low = 0.2;
  double clip_high = 0.2;
  std::optional<double> clip_dual;
  TisOptions tis;
  double top_entropy_quantile = 1.0;
  std::optional<double> off_policy_mask;
  double kl_coef = 0.0;
  bool kl_importance = false;
  KlEstimator kl_estimator = KlEstimator::kK3;
  KlPlace kl_place = KlPlace::kLoss;
  std::string kl_ref = "start";
  core::Json kl_adaptive = nullptr;  // {target, horizon}: coefficients.h
  Labels labels = Labels::kNone;
  int64_t epochs_per_rollout = 1;
  int64_t minibatches_per_rollout = 1;
  double entropy_coef = 0.0;
  core::Json adaptive_entropy = nullptr;       // {target, delta, min, max}: coefficients.h
  core::Json shaping = core::Json::array();    // [{name, params}, ...]
  core::Json modifiers = core::Json::array();  // [{name, params}, ...]
  core::Json params = core::Json::object();    // {estimator: {...}, loss: {...}}

  /// Whether the reference is the model of step 0, not a checkpoint of its own.
  bool refers_to_start() const { return kl_ref == "start"; }
  /// Whether sampled members pay a KL to the reference out of their reward.
  bool has_kl_reward() const { return kl_coef > 0 && kl_place == KlPlace::kReward; }
  /// Whether the loss of sampled tokens has a KL term.
  bool has_kl_loss() const { return kl_coef > 0 && kl_place == KlPlace::kLoss; }

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("estimator", estimator, FieldInfo{.help = "rewards to advantages"});
    visit("std",
          std,
          FieldInfo{.help = "divisor of the group's deviation: G-1, G, no division, or the "
                            "deviation of the whole batch"});
    visit("std_eps", std_eps, FieldInfo{.help = "added to the deviation", .low = 0, .high = 1});
    visit("min_spread",
          min_spread,
          FieldInfo{.help = "rewards of a group that are closer than this count as equal",
                    .low = 0,
                    .high = 1e6});
    visit("loss", loss, FieldInfo{.help = "token loss"});
    visit("aggregation", aggregation, FieldInfo{.help = "how token losses become one number"});
    visit("aggregation_constant",
          aggregation_constant,
          FieldInfo{.help = "constant of seq_mean_token_sum_const; null = rollout.max_new_tokens",
                    .unit = "tokens",
                    .low = 1e-9,
                    .high = 1e9});
    visit("clip_low",
          clip_low,
          FieldInfo{.help = "ratio is clipped below 1 - clip_low", .low = 0, .high = 1});
    visit("clip_high",
          clip_high,
          FieldInfo{.help = "ratio is clipped above 1 + clip_high", .low = 0, .high = 1e6});
    visit("clip_dual",
          clip_dual,
          FieldInfo{.help = "bound c of the dual clip for negative advantages; null = off",
                    .low = 1,
                    .high = 1e6});
    visit.section("tis", tis);
    visit("top_entropy_quantile",
          top_entropy_quantile,
          FieldInfo{.help = "the policy term keeps this share of the tokens, those of the highest "
                            "entropy; 1 = all, 0 = the highest alone",
                    .low = 0,
                    .high = 1});
    visit("off_policy_mask",
          off_policy_mask,
          FieldInfo{.help = "a sequence with a negative advantage leaves the policy term where the "
                            "mean of sampler - policy log-probs is above this; null = off",
                    .unit = "nats",
                    .low = 0,
                    .high = 1e6});
    visit("kl_coef",
          kl_coef,
          FieldInfo{.help = "weight of the KL to the reference; 0 = no reference is kept",
                    .low = 0,
                    .high = 1e6});
    visit("kl_importance",
          kl_importance,
          FieldInfo{.help = "multiplies the KL term by the ratio policy / old, with its gradient"});
    visit("kl_estimator", kl_estimator, FieldInfo{.help = "per-token estimator"});
    visit("kl_place", kl_place, FieldInfo{.help = "in the loss, or subtracted from the reward"});
    visit("kl_ref",
          kl_ref,
          FieldInfo{.help = "start = the model at step 0, a name of frozen, or a checkpoint folder",
                    .is_path = true});
    visit("kl_adaptive",
          kl_adaptive,
          FieldInfo{.help = "null, or {target: 0.1, horizon: 10000}: kl_coef follows the KL that "
                            "each optimizer step measures"});
    visit("labels",
          labels,
          FieldInfo{.help = "majority: a group's most frequent answer is its ground truth"});
    visit("epochs_per_rollout",
          epochs_per_rollout,
          FieldInfo{.help = "passes over one rollout", .low = 1, .high = 1000});
    visit("minibatches_per_rollout",
          minibatches_per_rollout,
          FieldInfo{.help = "optimizer steps per pass over one rollout", .low = 1, .high = 1e6});
    visit("entropy_coef",
          entropy_coef,
          FieldInfo{.help = "weight of the entropy bonus", .low = 0, .high = 1e3});
    visit("adaptive_entropy",
          adaptive_entropy,
          FieldInfo{.help = "null, or {target: 0.2, delta: 0.005, min: 0, max: 1}: entropy_coef "
                            "moves by delta, up while the entropy is low"});
    visit("shaping", shaping, FieldInfo{.help = "reward shapers, in order: [{name, params}, ...]"});
    visit("modifiers",
          modifiers,
          FieldInfo{.help = "modifiers of advantages, in order: [{name, params}, ...]"});
    visit("params",
          params,
          FieldInfo{.help = "parameters of the methods: {estimator: {...}, loss: {...}}"});
  }
};

}  // namespace sgrpo::algorithm
