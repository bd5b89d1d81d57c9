#include "sgrpo/core/log.h"
#include "sgrpo/trainer/evaluation.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Step 0 is no checkpoint of this run: it is the mark that the best one is measured against.
void say_if_start_was_better(const Run& run) {
  if (!run.best_at_start || *run.best_at_start <= *run.best) return;
  core::warn(*run.config.trainer.keep_best,
             " is ",
             *run.best,
             " at step ",
             run.finished_steps,
             ", the best so far, but was ",
             *run.best_at_start,
             " before training, which does not compete for checkpoints/best");
}

}  // namespace

eval::EvalJob eval_job(const RunConfig& config) {
  eval::EvalJob job;
  job.options = config.eval;
  job.max_new_tokens = config.eval.max_new_tokens.value_or(config.rollout.max_new_tokens);
  job.seed = static_cast<uint64_t>(config.seed);
  return job;
}

eval::EncoderLimits eval_limits(const RunConfig& config) {
  return {.min_pixels = config.data.min_pixels, .max_pixels = config.data.max_pixels};
}

StepReport validate(Run& run) {
  run.timer.begin("validate");
  StepReport report;
  const eval::EvalJob job = eval_job(run.config);
  for (const data::EvalSet& split : run.eval_sets) {
    const eval::EvalResult result = eval::evaluate(run.policy, *run.verifiers, split, job);
    eval::check_usable(split, result);
    report.merge(eval::metrics_of(split.name, result.sums));
  }
  note_validation(run, report);
  return report;
}

void note_validation(Run& run, const StepReport& report) {
  if (!run.config.trainer.keep_best) return;
  const std::string& metric = *run.config.trainer.keep_best;
  if (!report.has(metric)) {
    core::warn("trainer.keep_best: no row of ",
               metric,
               " was judged at step ",
               run.finished_steps,
               ": it does not compete for checkpoints/best");
    return;
  }
  const double value = report.get(metric);
  if (run.finished_steps == 0) {
    run.best_at_start = value;
    return;
  }
  if (run.best && value <= *run.best) return;
  run.best = value;
  run.is_best = true;
  say_if_start_was_better(run);
}

}  // namespace sgrpo::trainer
