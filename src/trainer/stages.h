// The stages of a step that are more than one call: each takes records and returns new ones.
#pragma once

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

/// Judges members whose verifier failed again, after each pause, as long as they are more than 5 %
/// of the step's (and at least 4). Throws core::RunError if they are at last, the newest finished
/// step saved.
std::vector<RolloutGroup> judge_again(Run& run,
                                      std::vector<RolloutGroup> groups,
                                      const std::vector<std::chrono::milliseconds>& pauses);

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

/// Evaluates all splits, notes their results and returns val/* metrics.
StepReport validate(Run& run);

/// Compares the last finished step's validation with the best so far: higher is better. A value
/// that is absent is no best, and step 0 does not compete.
void note_validation(Run& run, const StepReport& report);

/// Saves a checkpoint of the last finished step.
void save_checkpoint(Run& run);

/// Links the last finished step as the best one, saved first if it is not.
void keep_best(Run& run);

/// Takes what metrics.jsonl says of the last finished step, whose checkpoint may have been saved
/// before its validation; false if its row is missing: a stop may come before it is written.
bool take_row(Run& run);

/// Continues from the newest intact checkpoint of output_dir; false if there is none.
bool restore(Run& run);

}  // namespace sgrpo::trainer
