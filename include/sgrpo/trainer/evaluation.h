// What a configuration says about evaluation: the same for the command `eval` and for validation.
#pragma once

#include "sgrpo/eval/evaluate.h"
#include "sgrpo/trainer/run_config.h"

namespace sgrpo::trainer {

/// How the completions of a split are sampled.
eval::EvalJob eval_job(const RunConfig& config);

/// How its rows are read. The limits of the training stream are no limits here: a row is left out
/// only if the model cannot take it.
policy::EncoderLimits eval_limits(const RunConfig& config);

}  // namespace sgrpo::trainer
