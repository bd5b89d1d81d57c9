#include "sgrpo/trainer/trainer.h"

#include <ATen/ATen.h>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/trainer/report.h"
#include "sgrpo/types/non_finite.h"
#include "trainer/alarms.h"
#include "trainer/ending.h"
#include "trainer/metric_sums.h"
#include "trainer/numbers.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// Phase times, throughput, memory and counters: what every kind of step ends with.
void finish_report(
    State& state, StepReport& report, int64_t step, int64_t step_tokens, double epoch) {
  state.progress.num_tokens +=
      static_cast<int64_t>(state.communicator->reduce({static_cast<double>(step_tokens)}).front());
  report.set("learning_rate",
             optim::learning_rate(state.config.optim, step - 1, state.config.trainer.steps));
  report.set("epoch", epoch);
  report.set("num_tokens", static_cast<double>(state.progress.num_tokens));
  report.set("optim/skipped_steps", static_cast<double>(state.progress.skipped_steps));
  report.set("optim/no_signal_steps", static_cast<double>(state.progress.no_signal_steps));
  report.set("data/rejected_rows", static_cast<double>(state.feed->stream().num_rejected()));
  const data::ImageCost own = state.feed->stream().image_cost();
  const auto images =
      state.communicator->reduce({static_cast<double>(own.images), own.cpu_seconds});
  report.set("data/images", images[0]);
  report.set("perf/image_ms", images[0] > 0 ? 1000.0 * images[1] / images[0] : 0.0);
}

/// What the progress bar says behind itself.
std::string note_of(const StepReport& report) {
  char text[160];
  if (report.has("reward")) {
    std::snprintf(text,
                  sizeof(text),
                  "reward %.3f  all-fail %.2f mixed %.2f all-pass %.2f  injected %.2f",
                  report.get("reward"),
                  report.get("group/frac_all_fail"),
                  report.get("group/frac_mixed"),
                  report.get("group/frac_all_pass"),
                  report.get("cgi/injected_frac"));
  } else {
    std::snprintf(text, sizeof(text), "loss %.4f", report.get("loss"));
  }
  return text;
}

/// Whether a stop was asked for on any rank.
bool stop_is_agreed(const State& state) {
  const double asked = core::stop_requested() ? 1.0 : 0.0;
  return state.communicator->reduce({asked}, distributed::Reduction::kMax).front() > 0.0;
}

/// The run is done whatever becomes of its page.
void write_page(const State& state) {
  const std::filesystem::path folder = state.config.output_dir;
  try {
    write_run_report(folder / "report.html", {folder}, folder.filename().string());
  } catch (const core::RunError& error) {
    core::warn(error.what(), "; `sgrpo report` writes it again");
  }
}

}  // namespace

Trainer::~Trainer() = default;

StepReport Trainer::sft_step(int64_t step) {
  State& state = *state_;
  state.begin("load");
  const FedBatch batch = state.feed->next(step);
  auto& ranks = *state.communicator;
  std::vector<RolloutGroup> samples =
      together(ranks, [&] { return sample_retention(state, batch.retention, step); });
  const Retained retained =
      retain(state, batch.retention, std::move(samples), /*is_sft=*/true, step);
  std::vector<TrainRow> rows =
      together(ranks, [&] { return supervised_rows(state, batch.prompts); });
  const int64_t tokens = tokens_of(rows) + retained.tokens;
  rows.insert(rows.end(), retained.rows.begin(), retained.rows.end());
  state.begin("update");
  StepReport report = update(state, std::move(rows), retained, /*is_sft=*/true, step);
  report.merge(retained.report);
  finish_report(state, report, step, tokens, batch.prompts.epoch);
  return report;
}

StepReport Trainer::train_step(int64_t step) {
  State& state = *state_;
  state.begin("load");
  FedBatch batch = state.feed->next(step);
  Rollout rollout = together(*state.communicator, [&] { return roll_out(state, batch, step); });
  auto groups = judge(state, std::move(rollout.groups), batch);
  FollowedStep followed = follow_up(state, std::move(groups), batch, step);
  algorithm::FollowedGroups& sampled = followed.all;
  const int64_t sampled_tokens = tokens_of(sampled.groups) + tokens_of(sampled.dropped);
  StepReport report = describe_rollout(state, sampled);
  report.merge(followed.report);
  const PromptRewards rewards = mean_rewards(state, sampled);
  sampled.groups = assign_credit(state, std::move(sampled.groups), state.config.algorithm, step);
  report.merge(describe_injection(state, sampled.groups));
  Retained retained =
      retain(state, batch.retention, std::move(rollout.retained), /*is_sft=*/false, step);
  demonstrate(state, batch.demonstrations, step, retained);
  report.merge(retained.report);
  // Before the first update: from there to the end of the step nothing fails for an outside reason.
  state.begin("save");
  record_completions(state, sampled, step);
  state.begin("update");
  std::vector<TrainRow> rows =
      rows_of_step(state, std::move(sampled.groups), std::move(retained.groups));
  report.merge(update(state, std::move(rows), retained, /*is_sft=*/false, step));
  remember(state, rewards, step);
  finish_report(state, report, step, sampled_tokens + retained.tokens, batch.prompts.epoch);
  return report;
}

StepReport Trainer::any_step(int64_t step) {
  State& state = *state_;
  try {
    return state.is_sft(step) ? sft_step(step) : train_step(step);
  } catch (const NonFiniteError& error) {
    if (state.learner->is_mid_step()) throw;
    core::warn(error.what(), ": step ", step, " is left out and counted");
    ++state.progress.skipped_steps;
    note_skips(state, step, /*all_skipped=*/true);
    const data::PromptStream& stream = state.feed->stream();
    StepReport report;
    finish_report(
        state,
        report,
        step,
        /*step_tokens=*/0,
        static_cast<double>(stream.position(step + 1)) / static_cast<double>(stream.num_rows()));
    return report;
  }
}

void Trainer::run_steps(telemetry::Progress& bar) {
  State& state = *state_;
  Progress& progress = state.progress;
  Alarms alarms;
  const auto begin = [&] {
    alarms = Alarms();
    if (state.is_main())
      alarms.recall(std::filesystem::path(state.config.output_dir) / "metrics.jsonl");
    if (take_row(state)) return;
    state.timer.reset();
    close_step(state, progress.num_tokens);
  };
  begin();
  while (progress.finished_steps < state.config.trainer.steps && !is_patience_over(state)) {
    const int64_t step = progress.finished_steps + 1, tokens_before = progress.num_tokens;
    state.timer.reset();
    progress.row = any_step(step);
    if (state.is_main()) {
      for (const std::string& warning : alarms.watch(step, progress.row)) core::warn(warning);
    }
    progress.finished_steps = step;
    progress.is_validated = false;
    state.learner->end_step(step);
    if (has_gone_wrong(state)) {
      go_back(state);
      begin();
      bar.advance(progress.finished_steps - step + 1);
      continue;
    }
    close_step(state, tokens_before);
    bar.advance(1, note_of(progress.row));
    if (stop_is_agreed(state)) throw core::Interrupted("stopped by a signal");
  }
}

void Trainer::run() {
  State& state = *state_;
  const Progress& progress = state.progress;
  core::info(batch_equation(state.config, state.task, state.communicator->size()));
  telemetry::Progress bar(state.task == Task::kSft ? "sft" : "train",
                          state.config.trainer.steps,
                          progress.finished_steps);
  try {
    run_steps(bar);
  } catch (const core::Interrupted& stop) {
    bar.finish();
    end_interrupted(state, stop.what());
  } catch (...) {
    bar.finish();
    tell_others(*state.communicator);
    save_after_error(state);
  }
  bar.finish();
  state.starts->forget();
  if (is_patience_over(state)) {
    core::info("stopped after step ",
               progress.finished_steps,
               ": ",
               *state.config.trainer.keep_best,
               " found no new best in ",
               progress.evaluations_without_best,
               " evaluations (trainer.early_stopping_patience)");
  }
  if (state.is_main()) write_page(state);
}

}  // namespace sgrpo::trainer
