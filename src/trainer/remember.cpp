// What a step leaves in the run's memory.
#include "sgrpo/core/json.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Over the members whose verdict counts; nothing where there is none.
std::optional<double> mean_reward(const RolloutGroup& group) {
  double sum = 0.0;
  int64_t count = 0;
  for (const GroupMember& member : group.members) {
    if (!member.verdict.is_valid()) continue;
    sum += member.verdict.reward;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace

PromptRewards mean_rewards(const State& state, const algorithm::FollowedGroups& sampled) {
  PromptRewards rewards;
  if (state.config.memory.reward_window == 0) return rewards;
  for (const auto* groups : {&sampled.groups, &sampled.dropped}) {
    for (const RolloutGroup& group : *groups) {
      const auto mean = mean_reward(group);
      if (mean) rewards.emplace_back(group.prompt->record->id, *mean);
    }
  }
  return rewards;
}

void remember(State& state, const PromptRewards& rewards, int64_t step) {
  if (state.config.memory.reward_window == 0) return;
  core::Json own = core::Json::array();
  for (const auto& [prompt_id, reward] : rewards) own.push_back({prompt_id, reward});
  // A number's shortest text is the number again, to the bit.
  for (const std::string& text : state.communicator->all_gather_bytes(core::dump_ascii(own))) {
    for (const core::Json& entry : core::parse_json(text, "the rewards of a rank"))
      state.memory.note(entry.at(0).get<std::string>(), step, entry.at(1).get<double>());
  }
}

}  // namespace sgrpo::trainer
