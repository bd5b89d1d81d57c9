#include <algorithm>
#include <cstdio>

#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using core::Json;

constexpr size_t kShownGroups = 6;

bool differs_by_token(const std::vector<double>& advantages) {
  return std::any_of(advantages.begin(), advantages.end(), [&](double advantage) {
    return advantage != advantages.front();
  });
}

Json row_of(const RolloutGroup& group, const GroupMember& member, int64_t step, bool is_replaced) {
  const Completion& completion = member.completion;
  Json row = {{"step", step},
              {"prompt_id", group.prompt->record->id},
              {"index", completion.sample_index},
              {"completion", completion.text},
              {"completion_ids", completion.token_ids},
              {"reward", member.verdict.reward},
              {"status", to_string(member.verdict.status)},
              {"origin", to_string(completion.origin)},
              {"replaced", is_replaced},
              {"advantage", member.advantage()}};
  if (differs_by_token(member.advantages)) row["advantages"] = member.advantages;
  return row;
}

/// What the console shows of a prompt: its last text.
std::string last_text(const PromptRecord& record) {
  std::string text;
  for (const Message& message : record.messages) {
    for (const ContentPart& part : message.content) {
      if (part.kind == ContentPart::Kind::kText) text = part.text;
    }
  }
  return text;
}

/// One member a group: the injected one where there is one, else the first.
const GroupMember& member_to_show(const RolloutGroup& group) {
  for (const GroupMember& member : group.members) {
    if (member.completion.origin == Origin::kGroundTruth) return member;
  }
  return group.members.front();
}

bool shows_table(const State& state, int64_t step) {
  return step == 1 || step == state.config.trainer.steps || step % 50 == 0;
}

}  // namespace

void record_completions(const State& state,
                        const algorithm::FollowedGroups& sampled,
                        int64_t step) {
  std::vector<Json> rows, shown;
  for (const auto* groups : {&sampled.groups, &sampled.dropped}) {
    for (const RolloutGroup& group : *groups) {
      for (const GroupMember& member : group.members)
        rows.push_back(row_of(group, member, step, false));
      if (shown.size() < kShownGroups) {
        shown.push_back(row_of(group, member_to_show(group), step, false));
        shown.back()["prompt"] = last_text(*group.prompt->record);
      }
      if (group.replaced) rows.push_back(row_of(group, *group.replaced, step, true));
    }
  }
  state.completions->write(step, rows);
  if (shows_table(state, step))
    core::info("step ", step, ", a few completions:\n", telemetry::completions_table(shown));
}

}  // namespace sgrpo::trainer
