// The stages of a step that are more than one call: each takes records and returns new ones.
#pragma once

#include <vector>

#include "sgrpo/algorithm/advantage.h"
#include "trainer/state.h"

namespace sgrpo::trainer {

/// The groups of a step: sampled, or, under rollout.replay, as recorded (texts decoded, log-probs
/// and entropies of the sampler scored).
std::vector<RolloutGroup> roll_out(State& state, const FedBatch& batch, int64_t step);

/// Verdicts: recorded rewards where a replay has them, else the verifiers'.
std::vector<RolloutGroup> judge(const State& state,
                                std::vector<RolloutGroup> groups,
                                const FedBatch& batch);

/// Log-probs that a method asked for before advantages, over the injected groups.
std::vector<RolloutGroup> score_members(State& state,
                                        std::vector<RolloutGroup> groups,
                                        const algorithm::Needs& needs);

/// Injection, scores, shaping, advantages and modifiers, as the configuration says.
std::vector<RolloutGroup> assign_credit(State& state,
                                        std::vector<RolloutGroup> groups,
                                        int64_t step);

/// Rows of the prompts' own completions, for the SFT loss.
std::vector<TrainRow> supervised_rows(const State& state, const PromptBatch& prompts);

/// All optimizer steps of one step. Returns loss, grad_norm, kl, clip_ratio/*, cgi/injected_* and
/// sampling/*, and of supervised steps the entropy.
StepReport update(State& state, std::vector<TrainRow> rows, bool is_sft, int64_t step);

/// Metrics of the sampled groups before injection, and of injection after it.
StepReport describe_rollout(const State& state, const std::vector<RolloutGroup>& groups);
StepReport describe_injection(const State& state, const std::vector<RolloutGroup>& groups);

/// Writes completions/step-N.jsonl; every few steps also the console table.
void record_completions(const State& state,
                        const std::vector<RolloutGroup>& groups,
                        int64_t step);

/// Evaluates all splits and returns val/* metrics; notes the best.
StepReport validate(State& state);
/// Throws core::UserError if trainer.keep_best is no metric that validation will give.
void check_keep_best(const State& state);

/// Saves a checkpoint of the last finished step.
void save_checkpoint(State& state);

/// Whether metrics.jsonl has the row of the last finished step: a stop may come before it is
/// written.
bool has_row(const State& state);

/// Continues from the newest intact checkpoint of output_dir; false if there is none.
bool restore(State& state);

/// Refuses to be one of several processes of a launcher (torchrun, srun): each would do the same
/// run. Throws core::UserError naming the variable.
void check_alone();

/// trainer.deterministic, for all of the process. An operation that knows no deterministic way
/// warns and goes on.
void set_deterministic(bool wanted);

}  // namespace sgrpo::trainer
