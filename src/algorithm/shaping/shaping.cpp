#include "sgrpo/algorithm/shaping.h"

#include <algorithm>
#include <limits>

#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

bool is_sampled(const GroupMember& member) {
  return member.completion.origin == Origin::kSampled && member.verdict.is_valid();
}

GroupMember* injected_member(RolloutGroup& group) {
  for (GroupMember& member : group.members) {
    if (member.completion.origin == Origin::kGroundTruth) return &member;
  }
  return nullptr;
}

/// The most that shaping may give a member: none where nothing was injected.
double ceiling_of(const GroupMember& member, const GroupMember* injected) {
  if (injected == nullptr) return std::numeric_limits<double>::infinity();
  return std::max(member.verdict.reward, injected->reward());
}

void smooth(RolloutGroup& group, GroupMember& ground_truth) {
  double sum = 0.0, highest = -std::numeric_limits<double>::infinity();
  int64_t count = 0;
  for (const GroupMember& member : group.members) {
    if (!is_sampled(member)) continue;
    sum += member.reward();
    highest = std::max(highest, member.reward());
    ++count;
  }
  if (count > 0 && highest >= ground_truth.reward()) {
    ground_truth.shaped_reward = sum / static_cast<double>(count);
  }
}

}  // namespace

std::vector<std::unique_ptr<Shaper>> make_shapers(const AlgorithmOptions& options,
                                                  const ShapingContext& context) {
  std::vector<std::unique_ptr<Shaper>> shapers;
  for (const MethodEntry& entry : read_methods(options.shaping, "algorithm.shaping")) {
    MethodParams params(entry.params, entry.where + ".params");
    shapers.push_back(ShaperRegistry::get(entry.where, entry.name)(params, context));
    params.finish();
  }
  return shapers;
}

std::vector<RolloutGroup> shape_rewards(std::vector<RolloutGroup> groups,
                                        const std::vector<std::unique_ptr<Shaper>>& shapers,
                                        const InjectionOptions& injection) {
  for (RolloutGroup& group : groups) {
    GroupMember* injected = injected_member(group);
    for (const auto& shaper : shapers) {
      for (GroupMember& member : group.members) {
        if (!is_sampled(member)) continue;
        member.shaped_reward = std::min(shaper->shape(group, member), ceiling_of(member, injected));
      }
    }
    if (injection.smoothing && injected != nullptr) smooth(group, *injected);
  }
  return groups;
}

std::vector<RolloutGroup> subtract_kl(std::vector<RolloutGroup> groups, double kl_coef) {
  for (RolloutGroup& group : groups) {
    for (GroupMember& member : group.members) {
      if (!is_sampled(member)) continue;
      const auto& old = member.scores.old_logprobs;
      const auto& reference = member.scores.ref_logprobs;
      SGRPO_CHECK(
          old.size() == member.completion.token_ids.size() && reference.size() == old.size(),
          "kl_place reward: a member is not scored");
      double kl = 0.0;
      for (size_t t = 0; t < old.size(); ++t)
        kl += static_cast<double>(old[t]) - static_cast<double>(reference[t]);
      member.shaped_reward = member.reward() - kl_coef * kl;
    }
  }
  return groups;
}

}  // namespace sgrpo::algorithm
