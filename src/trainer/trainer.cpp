#include "sgrpo/trainer/trainer.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>

#include "sgrpo/algorithm/rows.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/trainer/report.h"
#include "trainer/alarms.h"
#include "trainer/metric_sums.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Phase times, throughput, memory and counters: what every kind of step ends with.
void finish_report(State& state,
                   StepReport& report,
                   int64_t step,
                   int64_t step_tokens,
                   const PromptBatch& prompts) {
  state.progress.num_tokens +=
      static_cast<int64_t>(state.communicator->reduce({static_cast<double>(step_tokens)}).front());
  report.set("learning_rate",
             optim::learning_rate(state.config.optim, step - 1, state.config.trainer.steps));
  report.set("epoch", prompts.epoch);
  report.set("num_tokens", static_cast<double>(state.progress.num_tokens));
  report.set("optim/skipped_steps", static_cast<double>(state.progress.skipped_steps));
  report.set("optim/no_signal_steps", static_cast<double>(state.progress.no_signal_steps));
  report.set("data/rejected_rows", static_cast<double>(state.feed->stream().num_rejected()));
  const data::ImageCost cost = state.feed->stream().image_cost();
  const auto images = static_cast<double>(cost.images);
  report.set("data/images", images);
  report.set("perf/image_ms", images > 0 ? 1000.0 * cost.cpu_seconds / images : 0.0);
}

/// What tensors hold on the GPU, now and at most so far, in GiB; 0 where there is none. Through the
/// allocator's interface, which needs no CUDA headers.
void report_device_memory(const at::Device& device, StepReport& report) {
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  double now = 0.0, peak = 0.0;
  if (!device.is_cpu()) {
    const auto stats =
        c10::getDeviceAllocator(device.type())
            ->getDeviceStats(device.has_index() ? device.index() : at::DeviceIndex{0});
    const auto& bytes =
        stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    now = static_cast<double>(bytes.current) / kGiB;
    peak = static_cast<double>(bytes.peak) / kGiB;
  }
  report.set("mem/gpu_alloc_gb", now);
  report.set("mem/gpu_peak_gb", peak);
}

void report_times(State& state, StepReport& report) {
  const double total = state.timer.total();
  const auto& seconds = state.timer.seconds();
  for (const char* phase :
       {"load", "vision", "generate", "verify", "logprob", "update", "sync", "validate", "save"}) {
    const auto found = seconds.find(phase);
    report.set(core::str("timing_s/", phase), found == seconds.end() ? 0.0 : found->second);
  }
  report.set("step_time", total);
  report.set("mem/host_rss_gb", telemetry::host_rss_gb());
  report_device_memory(state.learner->policy().device(), report);
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

bool is_due(int64_t step, int64_t every, int64_t last) {
  return every > 0 && (step % every == 0 || step == last);
}

bool needs_validation(const State& state) {
  if (state.eval_sets.empty() || state.progress.is_validated) return false;
  return state.progress.finished_steps == 0 ? state.config.eval.at_start
                                            : is_due(state.progress.finished_steps,
                                                     state.config.eval.every,
                                                     state.config.trainer.steps);
}

/// Whether trainer.early_stopping_patience ends the run behind the last finished step.
bool is_patience_over(const State& state) {
  const std::optional<int64_t> patience = state.config.trainer.early_stopping_patience;
  return patience && state.progress.evaluations_without_best >= *patience;
}

/// Ends the last finished step: checkpoint and validation where they are due, in this order so that
/// a validation that fails costs no trained step, then its row of metrics. Step 0 is the evaluation
/// at start.
void close_step(State& state, int64_t tokens_before) {
  Progress& progress = state.progress;
  const int64_t step = progress.finished_steps, last = state.config.trainer.steps;
  if (step == 0 && !needs_validation(state)) return;
  const bool is_save_due = is_due(step, state.config.trainer.save_every, last) || step == last;
  if (step > 0 && is_save_due && state.saved_step != step) {
    state.timer.begin("save");
    save_checkpoint(state);
  }
  if (needs_validation(state)) {
    progress.row.merge(validate(state));
  }
  progress.is_validated = true;
  if (step > 0 && progress.best_step == step && state.folder->best() != step) {
    state.timer.begin("save");
    keep_best(state);
  }
  if (step > 0 && is_patience_over(state) && state.saved_step != step) {
    state.timer.begin("save");
    save_checkpoint(state);
  }
  state.timer.end();
  StepReport report = progress.row;
  report_times(state, report);
  if (progress.num_tokens > tokens_before) {
    report.set("perf/tokens_per_s",
               static_cast<double>(progress.num_tokens - tokens_before) / state.timer.total());
  }
  state.metrics->write(step, report);
}

/// Saves the last finished step and says how to go on.
[[noreturn]] void save_interrupted(State& state, const std::string& reason) {
  if (state.progress.finished_steps == 0) {
    throw core::Interrupted(
        core::str(reason, ": no step is done yet; the same command starts again"));
  }
  if (state.saved_step != state.progress.finished_steps) save_checkpoint(state);
  throw core::Interrupted(core::str(reason,
                                    ": step ",
                                    state.progress.finished_steps,
                                    " of ",
                                    state.config.trainer.steps,
                                    " is saved in ",
                                    state.config.output_dir,
                                    "; ",
                                    how_to_continue(state.config),
                                    " from there"));
}

/// An error of another kind costs no finished step: the newest one is saved, unless parameters of
/// an unfinished step changed already. Call from a handler of that error, which it throws again.
[[noreturn]] void save_after_error(State& state) {
  const int64_t finished = state.progress.finished_steps;
  if (state.is_updating) {
    try {
      throw;
    } catch (const std::exception& error) {
      throw core::RunError(core::str(error.what(),
                                     ": nothing could be saved behind step ",
                                     std::max<int64_t>(state.saved_step, 0),
                                     "; lost are steps ",
                                     std::max<int64_t>(state.saved_step, 0) + 1,
                                     " to ",
                                     finished + 1));
    }
  }
  if (finished > 0 && state.saved_step != finished) {
    try {
      save_checkpoint(state);
      core::warn("step ", finished, " is saved in ", state.config.output_dir);
    } catch (const std::exception& error) {
      core::warn("step ", finished, " could not be saved: ", error.what());
    }
  }
  throw;
}

/// Whether a stop was asked for on any rank.
bool stop_is_agreed(const State& state) {
  const double asked = core::stop_requested() ? 1.0 : 0.0;
  return state.communicator->reduce({asked}, distributed::Reduction::kMax).front() > 0.0;
}

}  // namespace

Trainer::~Trainer() = default;

StepReport Trainer::sft_step(int64_t step) {
  State& state = *state_;
  state.timer.begin("load");
  const FedBatch batch = state.feed->next(step);
  std::vector<RolloutGroup> samples = sample_retention(state, batch.retention, step);
  const Retained retained =
      retain(state, batch.retention, std::move(samples), /*is_sft=*/true, step);
  std::vector<TrainRow> rows = supervised_rows(state, batch.prompts);
  const int64_t tokens = tokens_of(rows) + retained.tokens;
  rows.insert(rows.end(), retained.rows.begin(), retained.rows.end());
  state.timer.begin("update");
  StepReport report = update(state, std::move(rows), retained, /*is_sft=*/true, step);
  report.merge(retained.report);
  finish_report(state, report, step, tokens, batch.prompts);
  return report;
}

StepReport Trainer::train_step(int64_t step) {
  State& state = *state_;
  state.timer.begin("load");
  FedBatch batch = state.feed->next(step);
  Rollout rollout = roll_out(state, batch, step);
  auto groups = judge(state, std::move(rollout.groups), batch);
  FollowedStep followed = follow_up(state, std::move(groups), batch, step);
  algorithm::FollowedGroups& sampled = followed.all;
  const int64_t sampled_tokens = tokens_of(sampled.groups) + tokens_of(sampled.dropped);
  StepReport report = describe_rollout(state, sampled);
  report.merge(followed.report);
  sampled.groups = assign_credit(state, std::move(sampled.groups), state.config.algorithm, step);
  report.merge(describe_injection(state, sampled.groups));
  Retained retained =
      retain(state, batch.retention, std::move(rollout.retained), /*is_sft=*/false, step);
  report.merge(retained.report);
  // Before the first update: from there to the end of the step nothing fails for an outside reason.
  state.timer.begin("save");
  record_completions(state, sampled, step);
  state.timer.begin("update");
  groups = spread_among(std::move(sampled.groups), std::move(retained.groups));
  report.merge(update(state, algorithm::rows_of(groups), retained, /*is_sft=*/false, step));
  finish_report(state, report, step, sampled_tokens + retained.tokens, batch.prompts);
  return report;
}

void Trainer::run() {
  State& state = *state_;
  Progress& progress = state.progress;
  const int64_t last = state.config.trainer.steps;
  core::info(batch_equation(state.config, state.task));
  Alarms alarms;
  alarms.recall(std::filesystem::path(state.config.output_dir) / "metrics.jsonl");
  telemetry::Progress bar(
      state.task == Task::kSft ? "sft" : "train", last, progress.finished_steps);
  try {
    if (!take_row(state)) {
      state.timer.reset();
      close_step(state, progress.num_tokens);
    }
    for (int64_t step = progress.finished_steps + 1; step <= last && !is_patience_over(state);
         ++step) {
      const int64_t tokens_before = progress.num_tokens;
      state.timer.reset();
      progress.row = state.is_sft(step) ? sft_step(step) : train_step(step);
      for (const std::string& warning : alarms.watch(step, progress.row)) core::warn(warning);
      progress.finished_steps = step;
      progress.is_validated = false;
      state.is_updating = false;
      close_step(state, tokens_before);
      bar.advance(1, note_of(progress.row));
      if (stop_is_agreed(state)) throw core::Interrupted("stopped by a signal");
    }
  } catch (const core::Interrupted& stop) {
    bar.finish();
    save_interrupted(state, stop.what());
  } catch (...) {
    bar.finish();
    save_after_error(state);
  }
  bar.finish();
  if (is_patience_over(state)) {
    core::info("stopped after step ",
               progress.finished_steps,
               ": ",
               *state.config.trainer.keep_best,
               " found no new best in ",
               progress.evaluations_without_best,
               " evaluations (trainer.early_stopping_patience)");
  }
  write_run_report(std::filesystem::path(state.config.output_dir) / "report.html",
                   {state.config.output_dir},
                   std::filesystem::path(state.config.output_dir).filename().string());
}

}  // namespace sgrpo::trainer
