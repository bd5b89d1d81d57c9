// The stages of a step that are more than one call: each takes records and returns new ones.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/follow_up.h"
#include "trainer/state.h"

namespace sgrpo::trainer {

/// The groups of a step: of its prompts, and of its retention rows where those are sampled.
struct Rollout {
  std::vector<RolloutGroup> groups;
  std::vector<RolloutGroup> retained;
};

/// Samples; under rollout.replay the prompts' groups are as recorded (texts decoded, log-probs and
/// entropies of the sampler scored).
Rollout roll_out(State& state, const FedBatch& batch, int64_t step);

/// Prompt and completion tokens.
int64_t tokens_of(const std::vector<RolloutGroup>& groups);
int64_t tokens_of(const std::vector<TrainRow>& rows);

/// Completions sampled for a retention row.
int64_t retention_samples(const RunConfig& config, bool is_sft);
std::vector<RolloutGroup> sample_retention(State& state, const PromptBatch& prompts, int64_t step);

/// Verdicts: recorded rewards where a replay has them, else the verifiers'; and each group's kind.
std::vector<RolloutGroup> judge(State& state,
                                std::vector<RolloutGroup> groups,
                                const FedBatch& batch);

/// A step's groups once nothing more is asked for, and rollout/* where something could be.
struct FollowedStep {
  algorithm::FollowedGroups all;
  StepReport report;
};

/// Bounded dynamic sampling (rollout.filter_groups): the same exchanges on every rank. `batch` gets
/// the epoch of the last prompt that was drawn.
FollowedStep follow_up(State& state,
                       std::vector<RolloutGroup> groups,
                       FedBatch& mutable_batch,
                       int64_t step);

/// What injection needs to know of a step.
algorithm::InjectionContext injection_context(State& state, int64_t step);

/// Puts the baselines of `groups` behind them as groups of their own, so that they are judged
/// alike.
std::vector<RolloutGroup> with_baselines(std::vector<RolloutGroup> groups);

/// Takes them back into the first `count` groups.
std::vector<RolloutGroup> take_baselines(std::vector<RolloutGroup> groups, size_t count);

/// Sets `ground_truth_verdict` of the groups that injection may repair, where a method reads it.
std::vector<RolloutGroup> judge_ground_truths(State& state, std::vector<RolloutGroup> groups);

/// Log-probs that a method asked for before advantages, over the injected groups.
std::vector<RolloutGroup> score_members(State& state,
                                        std::vector<RolloutGroup> groups,
                                        const algorithm::Needs& needs);

/// Whether KL is taken off a member's reward; an estimator may take it token by token instead.
bool pays_kl(const algorithm::AlgorithmOptions& options);

/// The mean reward of each group that was sampled and judged, by prompt id.
using PromptRewards = std::vector<std::pair<std::string, double>>;

/// Of groups before injection, those that a follow-up dropped too; empty where the run's memory
/// keeps none.
PromptRewards mean_rewards(const State& state, const algorithm::FollowedGroups& sampled);

/// Hands the rewards of all ranks, in rank order, to the run's memory: the step is done.
void remember(State& state, const PromptRewards& rewards, int64_t step);

/// Injection as the configuration says; scores, shaping, advantages and modifiers as `options` say.
std::vector<RolloutGroup> assign_credit(State& state,
                                        std::vector<RolloutGroup> groups,
                                        const algorithm::AlgorithmOptions& options,
                                        int64_t step);

/// What retention adds to a step: groups or supervised rows of the arm, or a part of its own.
struct Retained {
  std::vector<RolloutGroup> groups;
  std::vector<TrainRow> rows;
  std::vector<learner::StepPart> parts;
  double arm_weight = 1.0;
  int64_t tokens = 0;  // of its prompts and completions, injected ones aside
  StepReport report;   // retention/*
};

/// `samples`: what was sampled for `prompts`. Judged, injected and weighed as groups of the arm
/// are, but by `exact`, without shapers and modifiers. Nothing where retention.data is not set.
Retained retain(State& state,
                const PromptBatch& prompts,
                std::vector<RolloutGroup> samples,
                bool is_sft,
                int64_t step);

/// Puts a step's demonstrations beside the rollouts, as the loss weighs the two. Nothing for a step
/// without.
void demonstrate(State& state, const PromptBatch& rows, int64_t step, Retained& mutable_beside);

/// Which of count + more things are further ones when those are spread evenly: each of a step's
/// minibatches gets its share.
std::vector<bool> spread(size_t count, size_t more);

/// The rows of this rank's groups, `more` spread among the others; groups are numbered over all
/// ranks.
std::vector<TrainRow> rows_of_step(State& state,
                                   std::vector<RolloutGroup> groups,
                                   std::vector<RolloutGroup> more);

/// Rows of the prompts' own completions, for the SFT loss.
std::vector<TrainRow> supervised_rows(const State& state, const PromptBatch& prompts);

algorithm::LossSettings loss_settings(const RunConfig& config);

/// All optimizer steps of one step, on the arm's rows and on what retention puts beside them.
/// Returns loss, grad_norm, kl, clip_ratio/*, cgi/injected_*, sampling/* and retention/loss, and of
/// supervised steps the entropy.
StepReport update(
    State& state, std::vector<TrainRow> rows, const Retained& retained, bool is_sft, int64_t step);

/// Metrics of all sampled groups before injection, and of injection after it.
StepReport describe_rollout(const State& state, const algorithm::FollowedGroups& sampled);
StepReport describe_injection(const State& state, const std::vector<RolloutGroup>& groups);

/// Writes completions/step-N.jsonl, groups that left the step at its end; every few steps also the
/// console table.
void record_completions(const State& state, const algorithm::FollowedGroups& sampled, int64_t step);

/// Which members verifiers are asked about, by the places of group and member; empty: all.
using MemberFilter = std::function<bool(size_t, size_t)>;

/// Gives the members that are asked about a verdict; the others keep theirs.
std::vector<RolloutGroup> judge_members(const State& state,
                                        std::vector<RolloutGroup> groups,
                                        const MemberFilter& is_asked);

/// Judges members whose verifier failed again, after each pause, as long as they are more than 5 %
/// of the step's (and at least 4). Throws core::RunError if they are at last.
std::vector<RolloutGroup> judge_again(State& state,
                                      std::vector<RolloutGroup> groups,
                                      const std::vector<std::chrono::milliseconds>& pauses,
                                      const MemberFilter& is_asked = {});

/// Mean NLL over the tokens of the completions that a split's rows give, at temperature 1 (TRL's
/// eval_loss); nothing if no row gives one.
std::optional<double> completion_loss(const State& state, const data::EvalSet& split);

/// Evaluates all splits, notes their results and returns val/* metrics.
StepReport validate(State& state);

/// Compares the last finished step's validation with the best so far: higher is better. A value
/// that is absent is no best, and step 0 does not compete.
void note_validation(State& state, const StepReport& report);

/// Saves a checkpoint of the last finished step: rank 0 writes, and no other takes part, so that it
/// is possible after one has failed.
void save_checkpoint(State& state);

/// The same, and all ranks know whether it is there.
void save_together(State& state);

/// Takes what metrics.jsonl says of the last finished step, whose checkpoint may have been saved
/// before its validation; false if its row is missing: a stop may come before it is written.
bool take_row(State& state);

/// Takes weights, moments, position, counters and the last row of metrics from a verified
/// checkpoint, whose state.json is `saved`. Throws core::UserError where they do not fit this run,
/// core::RunError where they cannot be read.
void restore(State& state, const std::filesystem::path& folder, const core::Json& saved);

/// Refuses an output_dir that is a model folder. Throws core::UserError.
void check_output_folder(const std::filesystem::path& folder);

/// "the same command continues", or what to change in it so that it does.
std::string how_to_continue(const RunConfig& config);

/// Opens the run's folder once model and data are open: continues the run found there or named by
/// trainer.resume, cuts metrics and completions back to its step, writes config.yaml. A folder that
/// holds another run's steps is not silently overwritten. Throws core::UserError,
/// core::NoCheckpointError. `is_again`: of a run that is open already, its newest step counts.
void open_folder(State& state, bool is_again);

/// Opens learner, data and folder of a run that is open once more: it goes on from its newest
/// checkpoint, or from where it began.
void open_again(State& state);

/// Before the first step: throws core::RunError if no checkpoint fits on the disk.
void check_space(const State& state);

/// Stops the run `seconds` before SLURM_JOB_END_TIME. Throws core::UserError for a malformed one.
void honour_end_of_job(double seconds);

/// trainer.deterministic, for all of the process. An operation that knows no deterministic way
/// warns and goes on.
void set_deterministic(bool wanted);

}  // namespace sgrpo::trainer
