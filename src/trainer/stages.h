// The stages of a step that are more than one call: each takes records and returns new ones.
#pragma once

#include <optional>
#include <vector>

#include "trainer/run.h"

namespace sgrpo::trainer {

/// The groups of a step: sampled, or, under rollout.replay, as recorded (texts decoded, missing
/// sampler log-probs scored where injection needs them).
std::vector<RolloutGroup> roll_out(Run& run, const PromptBatch& prompts, int64_t step);

/// Verdicts: recorded rewards where a replay has them, else the verifiers'.
std::vector<RolloutGroup> judge(Run& run,
                                std::vector<RolloutGroup> groups,
                                const PromptBatch& prompts,
                                int64_t step);

/// One-member groups that hold the row's completion, for the SFT loss.
std::vector<RolloutGroup> ground_truth_groups(const Run& run, const PromptBatch& prompts);

enum class LossKind { kPolicy, kSft };

/// Packs, scores old and reference log-probs where they are needed, and updates: epochs x
/// minibatches optimizer steps. A step without any gradient leaves parameters, moments and Adam's
/// count alone. Returns loss, grad_norm, kl, entropy, clip_ratio/*, cgi/injected_* and sampling/*.
StepReport update_policy(Run& run,
                         const std::vector<RolloutGroup>& groups,
                         LossKind kind,
                         int64_t step);

/// Metrics of the sampled groups before injection, and of injection after it.
StepReport describe_rollout(const std::vector<RolloutGroup>& groups);
StepReport describe_injection(const std::vector<RolloutGroup>& groups);

/// Writes completions/step-N.jsonl; every few steps also the console table.
void record_completions(const Run& run, const std::vector<RolloutGroup>& groups, int64_t step);

/// Mean NLL over the tokens of the completions that a split's rows give, at temperature 1 (TRL's
/// eval_loss); nothing if no row gives one.
std::optional<double> completion_loss(const Run& run, const data::EvalSet& split);

/// Evaluates all splits and returns val/* metrics.
StepReport validate(Run& run);

/// Saves a checkpoint of the last finished step.
void save_checkpoint(Run& run);

/// Whether metrics.jsonl has the row of the last finished step: a stop may come before it is
/// written.
bool has_row(const Run& run);

/// Takes weights, moments, position, counters and the last row of metrics from a verified
/// checkpoint, whose state.json is `state`. Throws core::UserError where they do not fit this run,
/// core::RunError where they cannot be read.
void restore(Run& run, const std::filesystem::path& folder, const core::Json& state);

}  // namespace sgrpo::trainer
