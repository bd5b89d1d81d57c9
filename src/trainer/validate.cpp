#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/trainer/evaluation.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// Step 0 is no checkpoint of this run: it is the mark that the best one is measured against.
void say_if_start_was_better(const State& state) {
  const Progress& progress = state.progress;
  if (!progress.best_at_start || *progress.best_at_start <= *progress.best) return;
  core::warn(*state.config.trainer.keep_best,
             " is ",
             *progress.best,
             " at step ",
             progress.finished_steps,
             ", the best so far, but was ",
             *progress.best_at_start,
             " before training, which does not compete for checkpoints/best");
}

/// Names and their order are the same on all ranks.
eval::EvalSums sum_over_ranks(eval::EvalSums sums, distributed::Communicator& ranks) {
  std::vector<double> numbers;
  const auto visit = [&](auto&& number) {
    for (auto& [name, tally] : sums.accuracies) {
      number(tally.sum);
      number(tally.count);
    }
    for (int64_t* count :
         {&sums.judged, &sums.errors, &sums.timeouts, &sums.truncated, &sums.rejected})
      number(*count);
  };
  visit([&](const auto& value) { numbers.push_back(static_cast<double>(value)); });
  numbers = ranks.reduce(std::move(numbers));
  size_t next = 0;
  visit([&](auto& value) { value = static_cast<std::decay_t<decltype(value)>>(numbers[next++]); });
  return sums;
}

}  // namespace

eval::EvalJob eval_job(const RunConfig& config) {
  eval::EvalJob job;
  job.options = config.eval;
  job.max_new_tokens = config.eval.max_new_tokens.value_or(config.rollout.max_new_tokens);
  job.seed = static_cast<uint64_t>(config.seed);
  return job;
}

policy::EncoderLimits eval_limits(const RunConfig& config) {
  return {.min_pixels = config.data.min_pixels,
          .max_pixels = config.data.max_pixels,
          .key_prefix = "data."};
}

StepReport validate(State& state) {
  state.begin("validate");
  StepReport report;
  auto& ranks = *state.communicator;
  eval::EvalJob job = eval_job(state.config);
  job.share = {.index = ranks.rank(), .count = ranks.size()};
  for (const data::EvalSet& split : state.eval_sets) {
    eval::EvalResult result = together(ranks, [&] {
      return eval::evaluate(state.learner->policy(), *state.verifiers, split, job);
    });
    const double num_rows = ranks.reduce({static_cast<double>(result.rows.size())}).front();
    if (num_rows == 0.0) eval::check_usable(split, result);
    result.sums = sum_over_ranks(std::move(result.sums), ranks);
    report.merge(eval::metrics_of(split.name, result.sums));
    if (state.task != Task::kSft) continue;
    if (const auto loss = completion_loss(state, split))
      report.set(core::str("val/", split.name, "/loss"), *loss);
  }
  note_validation(state, report);
  return report;
}

void note_validation(State& state, const StepReport& report) {
  if (!state.config.trainer.keep_best) return;
  Progress& progress = state.progress;
  if (progress.finished_steps > 0) ++progress.evaluations_without_best;
  const std::string& metric = *state.config.trainer.keep_best;
  if (!report.has(metric)) {
    core::warn("trainer.keep_best: no row of ",
               metric,
               " was judged at step ",
               progress.finished_steps,
               ": it does not compete for checkpoints/best");
    return;
  }
  const double value = report.get(metric);
  if (progress.finished_steps == 0) {
    progress.best_at_start = value;
    return;
  }
  if (progress.best && value <= *progress.best) return;
  progress.best = value;
  progress.best_step = progress.finished_steps;
  progress.evaluations_without_best = 0;
  say_if_start_was_better(state);
}

}  // namespace sgrpo::trainer
