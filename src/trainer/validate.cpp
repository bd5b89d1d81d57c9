#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {

StepReport validate(State& state) {
  state.timer.begin("validate");
  StepReport report;
  eval::EvalJob job;
  job.options = state.config.eval;
  job.max_new_tokens =
      state.config.eval.max_new_tokens.value_or(state.config.rollout.max_new_tokens);
  job.seed = static_cast<uint64_t>(state.config.seed);
  for (const data::EvalSet& split : state.eval_sets) {
    report.merge(eval::evaluate(state.learner->policy(), *state.verifiers, split, job).metrics);
  }
  if (!state.config.trainer.keep_best) return report;
  const std::string& metric = *state.config.trainer.keep_best;
  Progress& progress = state.progress;
  if (!report.has(metric)) {  // nothing was judged
    core::warn("validation gave no ", metric, ": this step does not compete for the best");
  } else if (progress.finished_steps > 0 &&
             (!progress.best || report.get(metric) > *progress.best)) {
    progress.best = report.get(metric);
    progress.best_step = progress.finished_steps;
  }
  return report;
}

}  // namespace sgrpo::trainer
