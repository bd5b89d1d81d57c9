#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

void check_params(const core::Json& params) {
  for (const auto& [key, value] : params.items()) {
    if ((key == "estimator" || key == "loss") && value.is_object()) continue;
    throw core::UserError(core::str("algorithm.params.",
                                    core::printable(key),
                                    ": expected {estimator: {...}, loss: {...}}, each the "
                                    "parameters of that method"));
  }
}

void check_tis(const TisOptions& tis) {
  if (tis.min && tis.max && *tis.min >= *tis.max) {
    throw core::UserError(core::str("algorithm.tis.min is ",
                                    *tis.min,
                                    ", expected less than algorithm.tis.max (",
                                    *tis.max,
                                    ")"));
  }
  const bool truncates =
      tis.mode == TisMode::kTokenTruncate || tis.mode == TisMode::kSequenceTruncate;
  if (truncates && !tis.min && !tis.max) {
    throw core::UserError(core::str("algorithm.tis.mode is ",
                                    core::name_of(tis.mode),
                                    ", and algorithm.tis.min and max are both null: nothing would "
                                    "be truncated; set one of them"));
  }
}

/// Losses that compare whole members have no term of a single token.
void check_whole_groups(const AlgorithmOptions& options, const InjectionOptions& injection) {
  std::string key;
  if (injection.gt_shape != GtShape::kNone) key = "injection.gt_shape";
  if (options.tis.mode != TisMode::kOff) key = "algorithm.tis.mode";
  if (options.top_entropy_quantile < 1.0) key = "algorithm.top_entropy_quantile";
  if (options.off_policy_mask) key = "algorithm.off_policy_mask";
  if (key.empty()) return;
  throw core::UserError(core::str(key,
                                  " acts on single tokens, but algorithm.loss ",
                                  options.loss,
                                  " compares the members of a group as a whole: leave it at its "
                                  "default or choose another loss"));
}

}  // namespace

void check_loss(const AlgorithmOptions& options, const InjectionOptions& injection) {
  check_params(options.params);
  check_tis(options.tis);
  const auto loss = LossRegistry::get(
      "loss", options.loss)(LossSettings{.algorithm = options, .injection = injection});
  if (loss->needs_whole_groups()) check_whole_groups(options, injection);
}

void check_rewards(const AlgorithmOptions& options, const InjectionOptions& injection) {
  if (!make_estimator(options)->ignores_sum()) return;
  const char* shaped = nullptr;
  if (!options.shaping.empty()) shaped = "algorithm.shaping is set";
  if (options.has_kl_reward()) shaped = "algorithm.kl_place is reward";
  if (injection.smoothing && injection.when != InjectWhen::kNever)
    shaped = "injection.smoothing is true";
  if (shaped == nullptr) return;
  throw core::UserError(core::str(shaped,
                                  ", which changes the sum of a member's rewards, but estimator ",
                                  options.estimator,
                                  " reads their parts: leave it out, or take another "
                                  "algorithm.estimator"));
}

void validate(const AlgorithmOptions& options,
              const InjectionOptions& injection,
              int64_t group_size) {
  check_loss(options, injection);
  const auto estimator = make_estimator(options);
  const auto loss = LossRegistry::get(
      "loss", options.loss)(LossSettings{.algorithm = options, .injection = injection});
  if (loss->is_part_only()) {
    throw core::UserError(core::str("algorithm.loss is ",
                                    options.loss,
                                    ", which is a part of a step beside the rollouts only; for "
                                    "supervised steps use `sgrpo sft` or trainer.sft_steps"));
  }
  make_shapers(options, {.max_new_tokens = 1 << 20});
  make_modifiers(options);
  check_rewards(options, injection);
  validate(injection, group_size);
  if (group_size == 1 && !injection.can_append() && !estimator->allows_single()) {
    throw core::UserError(core::str("rollout.group_size is 1: estimator ",
                                    options.estimator,
                                    " compares the members of a group, use group_size >= 2"));
  }
}

}  // namespace sgrpo::algorithm
