// Everything that a run owns. One struct, so that the stages below can stay free functions.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "sgrpo/algorithm/loss.h"
#include "sgrpo/checkpoint/run_folder.h"
#include "sgrpo/checkpoint/run_lock.h"
#include "sgrpo/data/replay.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/eval/evaluate.h"
#include "sgrpo/eval/policy.h"
#include "sgrpo/optim/optimizer.h"
#include "sgrpo/telemetry/telemetry.h"
#include "sgrpo/trainer/trainer.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::trainer {

struct Run {
  RunConfig config;
  Task task = Task::kPolicyGradient;
  core::Json identity;          // of the run: what a checkpoint of it is compared with
  std::string allowed_changes;  // --allow-change
  eval::Policy policy;
  std::unique_ptr<model::Model> reference;  // null without KL
  std::unique_ptr<verifier::VerifierSet> verifiers;
  std::unique_ptr<data::PromptStream> stream;
  std::vector<data::RecordedGroup> replay;  // empty: completions are sampled
  std::unique_ptr<optim::AdamW> optimizer;
  std::vector<data::EvalSet> eval_sets;
  std::unique_ptr<checkpoint::RunLock> lock;  // of output_dir, for as long as this run may write
  std::unique_ptr<checkpoint::RunFolder> folder;
  std::unique_ptr<telemetry::MetricsWriter> metrics;
  telemetry::PhaseTimer timer;
  algorithm::LossSettings loss;
  at::Tensor masked_ids;            // [Z] i64: -inf in every log-prob of the policy, old and new
  at::Tensor reference_masked_ids;  // the same of the reference, whose padding may be longer

  int64_t finished_steps = 0;
  int64_t saved_step = -1;               // of the newest checkpoint
  StepReport row;                        // metrics of the last finished step, without times
  bool is_validated = false;             // `row` has its validation, if one is due
  int64_t num_tokens = 0;                // prompt and completion tokens so far
  int64_t skipped_steps = 0;             // updates left out for a non-finite gradient
  int64_t no_signal_steps = 0;           // steps without any gradient
  std::optional<double> best;            // of trainer.keep_best
  bool is_best = false;                  // the last validation was the best so far
  int64_t evaluations_without_best = 0;  // in a row

  bool is_sft(int64_t step) const { return task == Task::kSft || step <= config.trainer.sft_steps; }
};

/// Whether low-rank adapters train instead of the weights.
inline bool has_adapter(const Run& run) { return !run.policy.model->adapter().parameters.empty(); }

}  // namespace sgrpo::trainer
