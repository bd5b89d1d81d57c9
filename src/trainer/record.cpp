#include <algorithm>
#include <cstdio>
#include <tuple>

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

Json json_of(const RolloutGroup& group, bool is_dropped, int64_t step) {
  Json rows = Json::array();
  for (const GroupMember& member : group.members)
    rows.push_back(row_of(group, member, step, false));
  if (group.replaced) rows.push_back(row_of(group, *group.replaced, step, true));
  Json shown = row_of(group, member_to_show(group), step, false);
  shown["prompt"] = last_text(*group.prompt->record);
  return {{"place", group.place},
          {"dropped", is_dropped},
          {"index", group.prompt_index},
          {"rows", std::move(rows)},
          {"shown", std::move(shown)}};
}

/// Those of all ranks as one rank would list them; what left the step at the end.
std::vector<Json> groups_of_all(const algorithm::FollowedGroups& sampled,
                                int64_t step,
                                distributed::Communicator& ranks) {
  std::vector<Json> groups;
  for (const RolloutGroup& group : sampled.groups) groups.push_back(json_of(group, false, step));
  for (const RolloutGroup& group : sampled.dropped) groups.push_back(json_of(group, true, step));
  if (ranks.size() == 1) return groups;
  std::vector<Json> all;
  for (const std::string& bytes : ranks.all_gather_bytes(core::dump_ascii(groups))) {
    if (ranks.rank() > 0) continue;
    Json theirs = core::parse_json(bytes, "another rank");
    for (Json& group : theirs) all.push_back(std::move(group));
  }
  // What was dropped left in the order in which it was drawn.
  const auto order_of = [](const Json& group) {
    const bool is_dropped = group.at("dropped").get<bool>();
    return std::make_tuple(is_dropped, group.at(is_dropped ? "index" : "place").get<int64_t>());
  };
  std::sort(all.begin(), all.end(), [&](const Json& a, const Json& b) {
    return order_of(a) < order_of(b);
  });
  return all;
}

bool shows_table(const State& state, int64_t step) {
  return step == 1 || step == state.config.trainer.steps || step % 50 == 0;
}

}  // namespace

void record_completions(const State& state,
                        const algorithm::FollowedGroups& sampled,
                        int64_t step) {
  std::vector<Json> rows, shown;
  for (Json& group : groups_of_all(sampled, step, *state.communicator)) {
    for (Json& row : group.at("rows")) rows.push_back(std::move(row));
    if (shown.size() < kShownGroups) shown.push_back(std::move(group.at("shown")));
  }
  if (!state.is_main()) return;
  state.completions->write(step, rows);
  if (shows_table(state, step))
    core::info("step ", step, ", a few completions:\n", telemetry::completions_table(shown));
}

}  // namespace sgrpo::trainer
