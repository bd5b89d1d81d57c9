#include "trainer/ending.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <thread>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using Clock = std::chrono::steady_clock;

/// Before a checkpoint behind which no step comes is tried again.
constexpr std::array kSavePauses = {std::chrono::seconds(1), std::chrono::seconds(5)};

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

/// Whether so much time has passed since the last checkpoint on any rank.
bool is_time_due(const State& state) {
  const double minutes = state.config.trainer.save_every_minutes;
  if (minutes <= 0.0) return false;
  const std::chrono::duration<double, std::ratio<60>> passed = Clock::now() - state.saved_at;
  const double is_over = passed.count() >= minutes ? 1.0 : 0.0;
  return state.communicator->reduce({is_over}, distributed::Reduction::kMax).front() > 0.0;
}

/// Why the last finished step cannot be saved; empty: it is.
std::string failure_of_saving(State& state) {
  state.begin("save");
  try {
    save_together(state);
    return "";
  } catch (const core::RunError& error) {
    return error.what();
  } catch (const std::filesystem::filesystem_error& error) {
    return error.what();
  }
}

void rest(std::chrono::milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end && !core::stop_requested())
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

/// Saves the step behind which no other comes.
void save_at_last(State& state) {
  const int64_t step = state.progress.finished_steps;
  for (const std::chrono::seconds pause : kSavePauses) {
    const std::string failure = failure_of_saving(state);
    if (failure.empty()) return;
    core::warn("step ", step, " could not be saved: ", failure, "; it is tried again");
    rest(pause);
  }
  state.begin("save");
  save_together(state);
}

/// Saves a step behind which others come.
void save_or_owe(State& state) {
  const std::string failure = failure_of_saving(state);
  state.is_save_owed = !failure.empty();
  if (failure.empty()) return;
  core::warn("step ",
             state.progress.finished_steps,
             " could not be saved: ",
             failure,
             "; the run goes on, and tries again behind the next step");
}

void save_if_due(State& state) {
  const int64_t step = state.progress.finished_steps, last = state.config.trainer.steps;
  if (step == 0 || state.saved_step == step) return;
  if (step == last || is_patience_over(state)) return save_at_last(state);
  if (state.is_save_owed || is_due(step, state.config.trainer.save_every, last) ||
      is_time_due(state))
    save_or_owe(state);
}

void keep_if_best(State& state) {
  const int64_t step = state.progress.finished_steps;
  if (step == 0 || state.progress.best_step != step) return;
  state.begin("save");
  if (state.saved_step != step) save_or_owe(state);
  if (state.saved_step != step || !state.is_main() || state.folder->best() == step) return;
  try {
    state.folder->mark_best(step);
  } catch (const core::RunError& error) {
    core::warn(error.what(), "; the next start links checkpoints/best");
  }
}

std::string lost_steps(const State& state, const std::string& reason) {
  const int64_t saved = std::max<int64_t>(state.saved_step, 0);
  const int64_t last = state.progress.finished_steps + 1;
  return core::str(reason,
                   ": the step was being applied, so nothing could be saved behind step ",
                   saved,
                   last == saved + 1 ? "; lost is step " : "; lost are steps ",
                   saved + 1,
                   last == saved + 1 ? "" : core::str(" to ", last),
                   "; ",
                   how_to_continue(state.config),
                   saved > 0 ? " after the saved one" : " from the start");
}

[[noreturn]] void tell_lost_steps(const State& state) {
  try {
    throw;
  } catch (const c10::Error& error) {
    throw core::RunError(lost_steps(state, error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw core::RunError(lost_steps(state, error.what()));
  }
}

}  // namespace

bool is_patience_over(const State& state) {
  const std::optional<int64_t> patience = state.config.trainer.early_stopping_patience;
  return patience && state.progress.evaluations_without_best >= *patience;
}

void forget_orderly_end(Starts& mutable_starts) {
  try {
    throw;
  } catch (const core::UserError&) {
    mutable_starts.forget();
  } catch (const core::NoCheckpointError&) {
    mutable_starts.forget();
  } catch (const core::Interrupted&) {
    mutable_starts.forget();
  } catch (...) {
    return;
  }
}

void close_step(State& state, int64_t tokens_before) {
  Progress& progress = state.progress;
  if (progress.finished_steps == 0 && !needs_validation(state)) return;
  save_if_due(state);
  if (needs_validation(state)) progress.row.merge(validate(state));
  progress.is_validated = true;
  keep_if_best(state);
  if (is_patience_over(state)) save_if_due(state);
  state.timer.end();
  StepReport report = progress.row;
  report_times(state, report);
  if (progress.num_tokens > tokens_before) {
    report.set("perf/tokens_per_s",
               static_cast<double>(progress.num_tokens - tokens_before) / state.timer.total());
  }
  if (state.is_main()) state.metrics->write(progress.finished_steps, report);
}

void save_interrupted(State& state, std::string reason) {
  constexpr std::string_view kBySignal = "stopped by a signal";
  state.starts->forget();
  if (core::deadline_is_over() && core::starts_with(reason, kBySignal)) {
    reason.replace(0,
                   kBySignal.size(),
                   core::str("stopped ",
                             state.config.trainer.stop_before_end_s,
                             " s before the end of the job (SLURM_JOB_END_TIME)"));
  }
  if (state.progress.finished_steps == 0) {
    throw core::Interrupted(
        core::str(reason, ": no step is done yet; the same command starts again"));
  }
  if (state.saved_step != state.progress.finished_steps) save_at_last(state);
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

void end_interrupted(State& state, const std::string& reason) {
  const std::string failure = state.communicator->failure();
  if (failure.empty()) save_interrupted(state, reason);
  try {
    throw core::RunError(failure);
  } catch (...) {
    save_after_error(state);
  }
}

void save_after_error(State& state) {
  const int64_t finished = state.progress.finished_steps;
  if (state.learner->is_mid_step()) tell_lost_steps(state);
  if (state.is_main() && finished > 0 && state.saved_step != finished) {
    state.learner->drop_gradient();
    try {
      save_checkpoint(state);
      core::warn("step ", finished, " is saved in ", state.config.output_dir);
    } catch (const std::exception& error) {
      core::warn("step ", finished, " could not be saved: ", error.what());
    }
  }
  forget_orderly_end(*state.starts);
  throw;
}

}  // namespace sgrpo::trainer
