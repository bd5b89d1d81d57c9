// algorithm.labels: majority. A group's most frequent answer takes the place of a ground truth.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "sgrpo/data/replay.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::trainer {

struct State;

/// Refuses verifiers whose answer is no ground truth for them, and injection. Throws
/// core::UserError.
void check_labels(const RunConfig& config);
/// Likewise for the verifier that a row names.
void check_row_labels(const RunConfig& config, const PromptRecord& record);
/// Rewards that were recorded are not those of a vote.
void check_recorded_labels(const RunConfig& config, const data::RecordedGroup& group);

/// The groups with prompts whose ground truth is the winner of their members' vote, as maj@k votes:
/// an answer that could not be read has no vote, ties go to the first. Without any answer the
/// prompt has no ground truth. Members keep no verdict of this.
std::vector<RolloutGroup> label_by_majority(State& state,
                                            std::vector<RolloutGroup> groups,
                                            const std::vector<std::chrono::milliseconds>& pauses);

/// The groups, judged, with the prompts that they had; where there was no label every member
/// counts as unparsed, those that time, a broken program or their length masks aside.
std::vector<RolloutGroup> take_labels_off(
    const State& state,
    std::vector<RolloutGroup> groups,
    const std::vector<std::shared_ptr<const EncodedPrompt>>& prompts);

}  // namespace sgrpo::trainer
