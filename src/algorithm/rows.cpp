#include "sgrpo/algorithm/rows.h"

#include "algorithm/units.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/error.h"

namespace sgrpo::algorithm {
namespace {

TrainRow row_of(const RolloutGroup& group, const GroupMember& member, int64_t group_index) {
  TrainRow row = completion_row(group.prompt, member.completion.token_ids);
  row.group = group_index;
  row.origin = member.completion.origin;
  const std::vector<int64_t> units = units_of(member);
  for (size_t t = 0; t < row.decisions.size(); ++t) {
    Decision& decision = row.decisions[t];
    const auto at = [t](const std::vector<float>& values) {
      return values.empty() ? Decision::kNone : values[t];
    };
    if (!member.advantages.empty()) decision.advantage = static_cast<float>(member.advantages[t]);
    decision.sampler_logprob = at(member.completion.sampler_logprobs);
    decision.old_logprob = at(member.scores.old_logprobs);
    decision.ref_logprob = at(member.scores.ref_logprobs);
    if (!units.empty()) decision.unit = units[t];
  }
  return row;
}

/// Gives every valid member what `place` says is its vector, in the order of rows_of.
template <class Place>
void put_scores(std::vector<RolloutGroup>& mutable_groups,
                const std::vector<std::vector<float>>& logprobs,
                const Place& place) {
  size_t next = 0;
  for (RolloutGroup& group : mutable_groups) {
    for (GroupMember& member : group.members) {
      if (!member.verdict.is_valid()) continue;
      SGRPO_CHECK(
          next < logprobs.size() && logprobs[next].size() == member.completion.token_ids.size(),
          "scores of other rows");
      place(member) = logprobs[next++];
    }
  }
}

std::vector<float>& scores_of(GroupMember& member, ScoreKind kind) {
  switch (kind) {
    case ScoreKind::kOld: return member.scores.old_logprobs;
    case ScoreKind::kReference: return member.scores.ref_logprobs;
    case ScoreKind::kSampler: return member.completion.sampler_logprobs;
  }
  throw core::ContractError("no such kind of score");
}

}  // namespace

std::vector<TrainRow> rows_of(const std::vector<RolloutGroup>& groups) {
  std::vector<TrainRow> rows;
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].validate();
    for (const GroupMember& member : groups[g].members) {
      if (member.verdict.is_valid())
        rows.push_back(row_of(groups[g], member, static_cast<int64_t>(g)));
    }
  }
  return rows;
}

void set_scores(std::vector<RolloutGroup>& mutable_groups,
                const std::vector<std::vector<float>>& logprobs,
                ScoreKind kind) {
  put_scores(mutable_groups, logprobs, [&](GroupMember& member) -> std::vector<float>& {
    return scores_of(member, kind);
  });
}

void set_frozen_scores(std::vector<RolloutGroup>& mutable_groups,
                       const std::vector<std::vector<float>>& logprobs,
                       const std::string& frozen) {
  put_scores(mutable_groups, logprobs, [&](GroupMember& member) -> std::vector<float>& {
    return member.scores.frozen_logprobs[frozen];
  });
}

}  // namespace sgrpo::algorithm
