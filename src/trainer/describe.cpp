// Metrics of a step's groups, as sums that all ranks add.
#include <algorithm>
#include <cmath>
#include <map>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/text.h"
#include "trainer/metric_sums.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using Members = std::vector<const GroupMember*>;

Members members_of(const RolloutGroup& group) {
  Members members;
  for (const GroupMember& member : group.members) members.push_back(&member);
  return members;
}

double sum_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum;
}

/// Sample deviation, 0 for fewer than two values.
double deviation_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  const double mean = sum_of(values) / static_cast<double>(values.size());
  double squares = 0.0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double size_of(const Members& members) { return static_cast<double>(members.size()); }

void describe_lengths(const Members& members, MetricSums& sums) {
  double total = 0.0, terminated = 0.0, num_terminated = 0.0;
  double lowest = 0.0, highest = 0.0;
  for (const GroupMember* member : members) {
    const auto length = static_cast<double>(member->completion.token_ids.size());
    total += length;
    lowest = lowest == 0.0 ? length : std::min(lowest, length);
    highest = std::max(highest, length);
    if (member->completion.finish_reason != FinishReason::kStop) continue;
    num_terminated += 1.0;
    terminated += length;
  }
  const auto count = static_cast<int64_t>(members.size());
  sums.mean("completions/mean_length", total, size_of(members));
  sums.lowest("completions/min_length", lowest, count);
  sums.highest("completions/max_length", highest, count);
  sums.mean("completions/clipped_ratio", size_of(members) - num_terminated, size_of(members));
  sums.mean("completions/mean_terminated_length", terminated, num_terminated);
}

void describe_verdicts(const Members& members, MetricSums& sums) {
  double timeouts = 0.0, errors = 0.0, unparsed = 0.0, judged = 0.0;
  for (const GroupMember* member : members) {
    timeouts += member->verdict.status == VerdictStatus::kTimeout;
    errors += member->verdict.status == VerdictStatus::kError;
    unparsed += member->verdict.status == VerdictStatus::kUnparsed;
    judged +=
        member->verdict.status != VerdictStatus::kTruncated;  // of those no verifier was asked
  }
  sums.mean("verifier/timeout_frac", timeouts, judged);
  sums.mean("verifier/error_frac", errors, judged);
  sums.mean("verifier/unparsed_frac", unparsed, judged);
}

/// Of the distribution that the sampler saw, over every sampled token.
void describe_entropy(const Members& members, MetricSums& sums) {
  double entropy = 0.0, tokens = 0.0;
  for (const GroupMember* member : members) {
    entropy += member->completion.entropy_sum;
    tokens += static_cast<double>(member->completion.token_ids.size());
  }
  sums.mean("entropy", entropy, tokens);
}

/// Rewards of valid members, as judged.
std::vector<double> rewards_of(const Members& members) {
  std::vector<double> rewards;
  for (const GroupMember* member : members) {
    if (member->verdict.is_valid()) rewards.push_back(member->verdict.reward);
  }
  return rewards;
}

/// rewards/{verifier}/mean where several rewards are combined. The names differ by batch, so that
/// they are exchanged first: every rank must add the same ones.
StepReport describe_breakdown(const Members& members, distributed::Communicator& communicator) {
  std::map<std::string, std::pair<double, double>> by_verifier;
  std::string own;
  for (const GroupMember* member : members) {
    for (const auto& [name, reward] : member->verdict.breakdown) {
      if (by_verifier.count(name) == 0) own += name + "\n";
      by_verifier[name].first += reward;
      by_verifier[name].second += 1.0;
    }
  }
  for (const std::string& names : communicator.all_gather_bytes(own)) {
    for (const std::string& name : core::split(names, '\n')) {
      if (!name.empty()) by_verifier[name];
    }
  }
  MetricSums sums;
  for (const auto& [name, sum] : by_verifier)
    sums.mean("rewards/" + name + "/mean", sum.first, sum.second);
  return sums.reduce(communicator);
}

}  // namespace

StepReport describe_rollout(const State& state, const algorithm::FollowedGroups& sampled) {
  std::vector<const RolloutGroup*> groups;
  for (const RolloutGroup& group : sampled.groups) groups.push_back(&group);
  for (const RolloutGroup& group : sampled.dropped) groups.push_back(&group);
  MetricSums sums;
  Members all;
  double rewards = 0.0, judged = 0.0, deviations = 0.0, flat = 0.0, classed = 0.0;
  std::map<GroupKind, double> kinds;
  for (const RolloutGroup* group : groups) {
    const Members members = members_of(*group);
    all.insert(all.end(), members.begin(), members.end());
    if (!group->has_valid_members) continue;
    const auto own = rewards_of(members);
    rewards += sum_of(own);
    judged += static_cast<double>(own.size());
    deviations += deviation_of(own);
    flat += !algorithm::has_spread(own, state.config.algorithm.min_spread);
    kinds[group->kind] += 1.0;
    classed += 1.0;
  }
  sums.mean_if_any("reward", rewards, judged);
  sums.mean_if_any("reward_std", deviations, classed);
  describe_verdicts(all, sums);
  sums.mean_if_any("frac_reward_zero_std", flat, classed);
  sums.mean_if_any("group/frac_all_fail", kinds[GroupKind::kAllFail], classed);
  sums.mean_if_any("group/frac_all_pass", kinds[GroupKind::kAllPass], classed);
  sums.mean_if_any("group/frac_mixed", kinds[GroupKind::kMixed], classed);
  sums.mean("group/frac_unjudged",
            static_cast<double>(groups.size()) - classed,
            static_cast<double>(groups.size()));
  describe_lengths(all, sums);
  describe_entropy(all, sums);
  StepReport report = sums.reduce(*state.communicator);
  report.merge(describe_breakdown(all, *state.communicator));
  return report;
}

StepReport describe_injection(const State& state, const std::vector<RolloutGroup>& groups) {
  MetricSums sums;
  double rewards = 0.0, shaped = 0.0, judged = 0.0, sampled = 0.0;
  double advantage = 0.0, injected = 0.0, missing = 0.0, dead = 0.0, classed = 0.0;
  for (const RolloutGroup& group : groups) {
    missing += group.missing_ground_truth;
    if (!group.has_valid_members) continue;
    classed += 1.0;
    injected += group.is_injected;
    std::vector<double> own;
    for (const GroupMember& member : group.members) {
      if (member.completion.origin == Origin::kGroundTruth) advantage += member.advantage();
      if (!member.verdict.is_valid()) continue;
      own.push_back(member.reward());
      rewards += member.verdict.reward;
      judged += 1.0;
      if (member.completion.origin != Origin::kSampled) continue;
      shaped += member.reward();
      sampled += 1.0;
    }
    dead += !algorithm::has_spread(own, state.config.algorithm.min_spread);
  }
  sums.mean_if_any("reward_with_injected", rewards, judged);
  if (!state.config.algorithm.shaping.empty() || pays_kl(state.config.algorithm))
    sums.mean_if_any("reward_shaped", shaped, sampled);
  sums.mean_if_any("cgi/injected_frac", injected, classed);
  sums.mean("cgi/missing_gt_frac", missing, static_cast<double>(groups.size()));
  sums.mean("cgi/injected_advantage", advantage, injected);
  sums.mean_if_any("cgi/frac_dead_after", dead, classed);
  return sums.reduce(*state.communicator);
}

}  // namespace sgrpo::trainer
