#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/shaping.h"

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

}  // namespace

void validate(const AlgorithmOptions& options,
              const InjectionOptions& injection,
              int64_t group_size) {
  check_params(options.params);
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
  validate(injection, group_size);
  if (group_size == 1 && !injection.can_append() && !estimator->allows_single()) {
    throw core::UserError(core::str("rollout.group_size is 1: estimator ",
                                    options.estimator,
                                    " compares the members of a group, use group_size >= 2"));
  }
}

}  // namespace sgrpo::algorithm
