// The training loop: prompts -> groups -> verdicts -> injection -> advantages -> update -> report.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "sgrpo/data/encoder.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/types/step_report.h"

namespace sgrpo::telemetry {
class Progress;
}

namespace sgrpo::trainer {

struct State;

/// What the steps of a run do.
enum class Task { kPolicyGradient, kSft };
constexpr auto names_of(Task) { return std::array{"train", "sft"}; }

/// A run: opens everything that the configuration names, then trains step by step.
class Trainer {
 public:
  /// Opens model, data, verifiers and the run's folder; continues a run found there (trainer.resume
  /// auto). What changed since its checkpoint is logged; what would break the run is refused unless
  /// `allowed_changes` ("KEY,KEY") names it. Throws core::UserError for anything wrong in
  /// configuration, data or checkpoint, core::NoCheckpointError where no checkpoint can be used,
  /// before the first step.
  Trainer(RunConfig config, Task task, std::string allowed_changes = "");
  ~Trainer();

  /// All steps, with validation, checkpoints and the report at the end. A requested stop saves the
  /// last finished step and throws core::Interrupted.
  void run();

  /// One rollout with all its updates (steps count from 1).
  StepReport train_step(int64_t step);

  /// One supervised update on the step's prompts.
  StepReport sft_step(int64_t step);

 private:
  /// Either of them. A step that meets a number that is none before its update is left out, and
  /// counted as one whose updates were.
  StepReport any_step(int64_t step);
  void run_steps(telemetry::Progress& bar);

  std::unique_ptr<State> state_;
};

/// The longest ground truth that a training row may have, in tokens; 0 = any. It is limited only
/// where it is injected, or learned beside rollouts: a verifier takes it as it is.
int64_t ground_truth_limit(const RunConfig& config, Task task);

/// What reads the training stream: the model's limits, and those of `data` and `rollout`.
data::EncoderSpec with_stream_limits(data::EncoderSpec spec, const RunConfig& config, Task task);

/// "4 prompts x 8 completions = 32 completions a step; ..." for the log and for messages about
/// batch words.
std::string batch_equation(const RunConfig& config,
                           Task task = Task::kPolicyGradient,
                           int64_t ranks = 1);

}  // namespace sgrpo::trainer
