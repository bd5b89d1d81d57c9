#include <algorithm>
#include <cmath>
#include <map>

#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

double share(int64_t part, int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// The sampled members of a group as they were before injection: the victim in its place, the
/// ground truth left out.
std::vector<const GroupMember*> sampled_members(const RolloutGroup& group) {
  std::vector<const GroupMember*> members;
  for (const GroupMember& member : group.members) {
    if (member.completion.origin == Origin::kSampled) members.push_back(&member);
  }
  if (group.replaced) members.push_back(&*group.replaced);
  return members;
}

struct Moments {
  double mean = 0.0, deviation = 0.0;  // sample deviation, 0 for fewer than two values
  bool is_flat = true;
};

Moments moments(const std::vector<double>& values) {
  Moments result;
  if (values.empty()) return result;
  for (const double value : values) result.mean += value / static_cast<double>(values.size());
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - result.mean) * (value - result.mean);
    result.is_flat = result.is_flat && value == values.front();
  }
  if (values.size() > 1)
    result.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return result;
}

void describe_lengths(const std::vector<const GroupMember*>& members, StepReport& report) {
  double total = 0.0, terminated = 0.0;
  int64_t lowest = 0, highest = 0, num_terminated = 0;
  for (const GroupMember* member : members) {
    const auto length = static_cast<int64_t>(member->completion.token_ids.size());
    total += static_cast<double>(length);
    lowest = lowest == 0 ? length : std::min(lowest, length);
    highest = std::max(highest, length);
    if (member->completion.finish_reason == FinishReason::kStop) {
      ++num_terminated;
      terminated += static_cast<double>(length);
    }
  }
  const auto count = static_cast<int64_t>(members.size());
  report.set("completions/mean_length", count == 0 ? 0.0 : total / static_cast<double>(count));
  report.set("completions/min_length", static_cast<double>(lowest));
  report.set("completions/max_length", static_cast<double>(highest));
  report.set("completions/clipped_ratio", share(count - num_terminated, count));
  report.set("completions/mean_terminated_length",
             num_terminated == 0 ? 0.0 : terminated / static_cast<double>(num_terminated));
}

void describe_verdicts(const std::vector<const GroupMember*>& members, StepReport& report) {
  int64_t timeouts = 0, errors = 0, unparsed = 0, count = 0;
  std::map<std::string, std::pair<double, int64_t>> by_verifier;
  for (const GroupMember* member : members) {
    timeouts += member->verdict.status == VerdictStatus::kTimeout;
    errors += member->verdict.status == VerdictStatus::kError;
    unparsed += member->verdict.status == VerdictStatus::kUnparsed;
    count += member->verdict.status != VerdictStatus::kTruncated;  // no verifier was asked
    for (const auto& [name, reward] : member->verdict.breakdown) {
      by_verifier[name].first += reward;
      ++by_verifier[name].second;
    }
  }
  for (const auto& [name, sum] : by_verifier) {
    report.set("rewards/" + name + "/mean", sum.first / static_cast<double>(sum.second));
  }
  report.set("verifier/timeout_frac", share(timeouts, count));
  report.set("verifier/error_frac", share(errors, count));
  report.set("verifier/unparsed_frac", share(unparsed, count));
}

/// Rewards of valid members.
std::vector<double> rewards_of(const std::vector<const GroupMember*>& members) {
  std::vector<double> rewards;
  for (const GroupMember* member : members) {
    if (member->verdict.is_valid()) rewards.push_back(member->verdict.reward);
  }
  return rewards;
}

}  // namespace

StepReport describe_rollout(const std::vector<RolloutGroup>& groups) {
  StepReport report;
  std::vector<const GroupMember*> all;
  std::vector<double> rewards;
  double deviations = 0.0;
  int64_t flat = 0, classed = 0;
  std::map<GroupKind, int64_t> kinds;
  for (const RolloutGroup& group : groups) {
    const auto members = sampled_members(group);
    all.insert(all.end(), members.begin(), members.end());
    if (!group.has_valid_members) continue;
    const auto own = rewards_of(members);
    rewards.insert(rewards.end(), own.begin(), own.end());
    const Moments spread = moments(own);
    deviations += spread.deviation;
    flat += spread.is_flat;
    ++kinds[group.kind];
    ++classed;
  }
  if (classed > 0) {  // a mean over nothing is no number
    report.set("reward", moments(rewards).mean);
    report.set("reward_std", deviations / static_cast<double>(classed));
  }
  describe_verdicts(all, report);
  if (classed > 0) {
    report.set("frac_reward_zero_std", share(flat, classed));
    report.set("group/frac_all_fail", share(kinds[GroupKind::kAllFail], classed));
    report.set("group/frac_all_pass", share(kinds[GroupKind::kAllPass], classed));
    report.set("group/frac_mixed", share(kinds[GroupKind::kMixed], classed));
  }
  const auto num_groups = static_cast<int64_t>(groups.size());
  report.set("group/frac_unjudged", share(num_groups - classed, num_groups));
  describe_lengths(all, report);
  return report;
}

StepReport describe_injection(const std::vector<RolloutGroup>& groups) {
  StepReport report;
  std::vector<double> rewards;
  double advantage = 0.0;
  int64_t injected = 0, missing = 0, dead = 0, classed = 0;
  for (const RolloutGroup& group : groups) {
    missing += group.missing_ground_truth;
    if (!group.has_valid_members) continue;
    ++classed;
    injected += group.is_injected;
    std::vector<double> own;
    for (const GroupMember& member : group.members) {
      if (member.verdict.is_valid()) own.push_back(member.verdict.reward);
      if (member.completion.origin == Origin::kGroundTruth) advantage += member.advantage;
    }
    rewards.insert(rewards.end(), own.begin(), own.end());
    dead += moments(own).is_flat;
  }
  if (!rewards.empty()) report.set("reward_with_injected", moments(rewards).mean);
  if (classed > 0) report.set("cgi/injected_frac", share(injected, classed));
  report.set("cgi/missing_gt_frac", share(missing, static_cast<int64_t>(groups.size())));
  report.set("cgi/injected_advantage",
             injected == 0 ? 0.0 : advantage / static_cast<double>(injected));
  if (classed > 0) report.set("cgi/frac_dead_after", share(dead, classed));
  return report;
}

}  // namespace sgrpo::trainer
