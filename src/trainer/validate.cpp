#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Whether `value` beats the best so far; lower is better for losses.
bool improves(const Run& run, const std::string& metric, double value) {
  const bool lower = metric.find("loss") != std::string::npos;
  return !run.best || (lower ? value < *run.best : value > *run.best);
}

}  // namespace

StepReport validate(Run& run) {
  run.timer.begin("validate");
  StepReport report;
  eval::EvalJob job;
  job.options = run.config.eval;
  job.max_new_tokens = run.config.eval.max_new_tokens.value_or(run.config.rollout.max_new_tokens);
  job.seed = static_cast<uint64_t>(run.config.seed);
  for (const data::EvalSet& split : run.eval_sets) {
    report.merge(eval::evaluate(run.policy, *run.verifiers, split, job).metrics);
    if (run.task != Task::kSft) continue;
    if (const auto loss = completion_loss(run, split))
      report.set(core::str("val/", split.name, "/loss"), *loss);
  }
  if (run.config.trainer.keep_best) {
    const std::string& metric = *run.config.trainer.keep_best;
    if (!report.has(metric)) {
      throw core::UserError(
          core::str("trainer.keep_best is '",
                    metric,
                    "', which validation does not give; it gives ",
                    report.values().empty() ? "nothing" : report.values().front().first,
                    ", ..."));
    }
    if (improves(run, metric, report.get(metric))) {
      run.best = report.get(metric);
      run.is_best = run.finished_steps > 0;
    }
  }
  return report;
}

}  // namespace sgrpo::trainer
