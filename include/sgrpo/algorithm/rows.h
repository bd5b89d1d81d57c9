// Groups with advantages -> the rows that a policy packs, scores and learns from.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/train_row.h"

namespace sgrpo::algorithm {

/// One row per valid member, group after group; `group` counts the groups given. Advantages and the
/// scores that members hold are those of their tokens; members without advantages have 0.
/// Throws: core::ContractError for a group that does not validate
std::vector<TrainRow> rows_of(const std::vector<RolloutGroup>& groups);

/// Puts per-token log-probs of `rows_of(groups)`, in its order, to where they came from.
enum class ScoreKind { kOld, kReference, kSampler };
void set_scores(std::vector<RolloutGroup>& mutable_groups,
                const std::vector<std::vector<float>>& logprobs,
                ScoreKind kind);
/// The same for log-probs under the frozen policy of that name.
void set_frozen_scores(std::vector<RolloutGroup>& mutable_groups,
                       const std::vector<std::vector<float>>& logprobs,
                       const std::string& frozen);

}  // namespace sgrpo::algorithm
