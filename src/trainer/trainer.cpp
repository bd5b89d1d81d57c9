#include "sgrpo/trainer/trainer.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <chrono>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/trainer/report.h"
#include "trainer/alarms.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

int64_t tokens_of(const std::vector<RolloutGroup>& groups) {
  int64_t total = 0;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      total +=
          group.prompt->num_tokens() + static_cast<int64_t>(member.completion.token_ids.size());
    }
  }
  return total;
}

/// Phase times, throughput, memory and counters: what every kind of step ends with.
void finish_report(
    Run& run, StepReport& report, int64_t step, int64_t step_tokens, const PromptBatch& prompts) {
  run.num_tokens += step_tokens;
  report.set("learning_rate",
             optim::learning_rate(run.config.optim, step - 1, run.config.trainer.steps));
  report.set("epoch", prompts.epoch);
  report.set("num_tokens", static_cast<double>(run.num_tokens));
  report.set("optim/skipped_steps", static_cast<double>(run.skipped_steps));
  report.set("optim/no_signal_steps", static_cast<double>(run.no_signal_steps));
  report.set("data/rejected_rows", static_cast<double>(run.stream->num_rejected()));
  const data::ImageCost cost = run.stream->image_cost();
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

void report_times(Run& run, StepReport& report) {
  const double total = run.timer.total();
  const auto& seconds = run.timer.seconds();
  for (const char* phase :
       {"load", "vision", "generate", "verify", "logprob", "update", "sync", "validate", "save"}) {
    const auto found = seconds.find(phase);
    report.set(core::str("timing_s/", phase), found == seconds.end() ? 0.0 : found->second);
  }
  report.set("step_time", total);
  report.set("mem/host_rss_gb", telemetry::host_rss_gb());
  report_device_memory(run.policy.model->device(), report);
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

bool needs_validation(const Run& run) {
  if (run.eval_sets.empty() || run.is_validated) return false;
  return run.finished_steps == 0
             ? run.config.eval.at_start
             : is_due(run.finished_steps, run.config.eval.every, run.config.trainer.steps);
}

/// Whether trainer.early_stopping_patience ends the run behind the last finished step.
bool is_patience_over(const Run& run) {
  const std::optional<int64_t> patience = run.config.trainer.early_stopping_patience;
  return patience && run.evaluations_without_best >= *patience;
}

/// Ends the last finished step: validation and checkpoint where they are due, then its row of
/// metrics. Step 0 is the evaluation at start.
void close_step(Run& run, int64_t tokens_before) {
  const int64_t step = run.finished_steps, last = run.config.trainer.steps;
  if (step == 0 && !needs_validation(run)) return;
  if (needs_validation(run)) {
    run.row.merge(validate(run));
    if (step > 0) run.evaluations_without_best = run.is_best ? 0 : run.evaluations_without_best + 1;
  }
  run.is_validated = true;
  const bool is_last = step == last || is_patience_over(run);
  const bool is_save_due = is_due(step, run.config.trainer.save_every, last) || is_last;
  if (step > 0 && ((is_save_due && run.saved_step != step) || run.is_best)) {
    run.timer.begin("save");
    save_checkpoint(run);
  }
  run.timer.end();
  StepReport report = run.row;
  report_times(run, report);
  if (step > 0) {
    report.set("perf/tokens_per_s",
               static_cast<double>(run.num_tokens - tokens_before) / run.timer.total());
  }
  run.metrics->write(step, report);
}

/// Saves the last finished step and says how to go on.
[[noreturn]] void save_interrupted(Run& run, const std::string& reason) {
  if (run.finished_steps == 0) {
    throw core::Interrupted(
        core::str(reason, ": no step is done yet; the same command starts again"));
  }
  if (run.saved_step != run.finished_steps) save_checkpoint(run);
  throw core::Interrupted(core::str(reason,
                                    ": step ",
                                    run.finished_steps,
                                    " of ",
                                    run.config.trainer.steps,
                                    " is saved in ",
                                    run.config.output_dir,
                                    "; the same command continues from there"));
}

}  // namespace

Trainer::~Trainer() = default;

StepReport Trainer::train_step(int64_t step) {
  Run& run = *run_;
  run.timer.reset();
  run.timer.begin("load");
  const PromptBatch prompts = run.stream->batch(step);
  StepReport report;
  if (run.is_sft(step)) {
    const auto groups = ground_truth_groups(run, prompts);
    report.merge(update_policy(run, groups, LossKind::kSft, step));
    finish_report(run, report, step, tokens_of(groups), prompts);
    return report;
  }
  run.timer.begin("generate");
  auto groups = roll_out(run, prompts, step);
  const int64_t sampled_tokens = tokens_of(groups);
  run.timer.begin("verify");
  groups = judge(run, std::move(groups), prompts, step);
  groups = algorithm::classify(std::move(groups));
  groups = algorithm::inject_ground_truth(
      std::move(groups),
      run.config.injection,
      {.seed = static_cast<uint64_t>(run.config.seed), .step = step});
  groups =
      algorithm::compute_advantages(std::move(groups), run.config.algorithm, run.config.injection);
  report.merge(describe_rollout(groups));
  report.merge(describe_injection(groups));
  report.merge(update_policy(run, groups, LossKind::kPolicy, step));
  run.timer.begin("save");
  record_completions(run, groups, step);
  finish_report(run, report, step, sampled_tokens, prompts);
  return report;
}

void Trainer::run() {
  Run& run = *run_;
  const int64_t last = run.config.trainer.steps;
  core::info(batch_equation(run.config, run.task));
  Alarms alarms;
  alarms.recall(std::filesystem::path(run.config.output_dir) / "metrics.jsonl");
  telemetry::Progress progress(run.task == Task::kSft ? "sft" : "train", last, run.finished_steps);
  try {
    if (!has_row(run)) {
      run.timer.reset();
      close_step(run, run.num_tokens);
    }
    for (int64_t step = run.finished_steps + 1; step <= last && !is_patience_over(run); ++step) {
      const int64_t tokens_before = run.num_tokens;
      run.row = train_step(step);
      for (const std::string& warning : alarms.watch(step, run.row)) core::warn(warning);
      run.finished_steps = step;
      run.is_validated = false;
      close_step(run, tokens_before);
      progress.advance(1, note_of(run.row));
      if (core::stop_requested()) throw core::Interrupted("stopped by a signal");
    }
  } catch (const core::Interrupted& stop) {
    progress.finish();
    save_interrupted(run, stop.what());
  }
  progress.finish();
  if (is_patience_over(run)) {
    core::info("stopped after step ",
               run.finished_steps,
               ": ",
               *run.config.trainer.keep_best,
               " found no new best in ",
               run.evaluations_without_best,
               " evaluations (trainer.early_stopping_patience)");
  }
  write_run_report(std::filesystem::path(run.config.output_dir) / "report.html",
                   {run.config.output_dir},
                   std::filesystem::path(run.config.output_dir).filename().string());
}

}  // namespace sgrpo::trainer
