// The owners of a run: nothing else of it is mutable.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/run_folder.h"
#include "sgrpo/checkpoint/run_lock.h"
#include "sgrpo/distributed/communicator.h"
#include "sgrpo/eval/evaluate.h"
#include "sgrpo/learner/learner.h"
#include "sgrpo/telemetry/telemetry.h"
#include "sgrpo/trainer/trainer.h"
#include "sgrpo/types/memory.h"
#include "sgrpo/verifier/verifier.h"
#include "trainer/feed.h"
#include "trainer/progress.h"
#include "trainer/starts.h"

namespace sgrpo::trainer {

struct State {
  RunConfig config;
  Task task = Task::kPolicyGradient;
  core::Json identity;          // of the run: what a checkpoint of it is compared with
  std::string allowed_changes;  // --allow-change
  std::unique_ptr<distributed::Communicator> communicator = distributed::make_local();
  std::unique_ptr<verifier::VerifierSet> verifiers;
  // Lock, folder, metrics and completions are null on other ranks than the first, starts count
  // nothing there.
  std::unique_ptr<checkpoint::RunLock> lock;  // of output_dir, for as long as this run may write
  std::unique_ptr<Starts> starts;
  std::unique_ptr<learner::Learner> learner;
  std::unique_ptr<Feed> feed;
  std::vector<data::EvalSet> eval_sets;
  std::unique_ptr<checkpoint::RunFolder> folder;
  std::unique_ptr<telemetry::MetricsWriter> metrics;
  std::unique_ptr<telemetry::CompletionsWriter> completions;
  /// By row: what the verifiers say about its ground truth, where a method asks; judged once a row
  std::map<std::string, Verdict> ground_truth_verdicts;
  telemetry::PhaseTimer timer;
  Memory memory;
  Progress progress;
  core::Json passed_over = core::Json::array();  // [begin, end) of the stream, for bad numbers
  int64_t saved_step = -1;                       // of the newest checkpoint
  std::chrono::steady_clock::time_point saved_at = std::chrono::steady_clock::now();
  bool is_save_owed = false;  // the last one failed

  /// Rank 0, which alone writes to the run's folder.
  bool is_main() const { return communicator->rank() == 0; }
  /// Begins a phase of the running step, for the clock and for the other ranks.
  void begin(const std::string& phase) {
    timer.begin(phase);
    communicator->note(core::str(phase, ", step ", progress.finished_steps + 1));
  }
  bool is_sft(int64_t step) const { return task == Task::kSft || step <= config.trainer.sft_steps; }
  policy::ScoringOptions scoring(bool is_sft) const {
    return {.temperature = is_sft ? 1.0 : config.rollout.temperature,
            .sampling_mask = config.rollout.sampling_mask};
  }
};

}  // namespace sgrpo::trainer
