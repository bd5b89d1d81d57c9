#include "sgrpo/algorithm/injection.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "algorithm/injection_parts.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

/// What injection.gt_template must hold.
constexpr const char* kTemplateWord = "{ground_truth}";

bool is_sampled_and_valid(const GroupMember& member) {
  return member.completion.origin == Origin::kSampled && member.verdict.is_valid();
}

/// The verdicts' rewards of sampled, valid members.
std::vector<double> judged_rewards(const RolloutGroup& group) {
  std::vector<double> rewards;
  for (const GroupMember& member : group.members) {
    if (is_sampled_and_valid(member)) rewards.push_back(member.verdict.reward);
  }
  return rewards;
}

/// Both the best reward and the population deviation are low: Moondream's rule for boxes.
bool is_low(const std::vector<double>& rewards, const LowReward& limits) {
  double mean = 0.0, squares = 0.0;
  const auto count = static_cast<double>(rewards.size());
  for (const double reward : rewards) mean += reward / count;
  for (const double reward : rewards) squares += (reward - mean) * (reward - mean);
  return *std::max_element(rewards.begin(), rewards.end()) < limits.max &&
         std::sqrt(squares / count) < limits.std;
}

/// all_fail asks for a group that failed as a whole; rewards are not consulted, so partial reward
/// cannot block it. low_reward asks rewards alone. Every rule needs one valid member: a group of
/// timeouts says nothing.
bool trigger_holds(const RolloutGroup& group, const InjectionOptions& options) {
  const std::vector<double> rewards = judged_rewards(group);
  if (rewards.empty()) return false;
  switch (options.when) {
    case InjectWhen::kNever: return false;
    case InjectWhen::kAlways: return true;
    case InjectWhen::kLowReward: return is_low(rewards, options.low_reward);
    case InjectWhen::kAllFail: break;
  }
  return std::none_of(group.members.begin(), group.members.end(), [](const auto& member) {
    return member.verdict.status == VerdictStatus::kCorrect;
  });
}

/// A text that no verifier could judge, where one was asked, is no ground truth to learn from.
bool has_ground_truth(const RolloutGroup& group) {
  return !group.prompt->ground_truth_ids.empty() &&
         (!group.ground_truth_verdict || group.ground_truth_verdict->is_valid());
}

core::RandomKey key_of(const RolloutGroup& group,
                       const InjectionContext& context,
                       core::Purpose purpose) {
  return {.seed = context.seed,
          .step = static_cast<uint64_t>(context.step),
          .prompt_index = static_cast<uint64_t>(group.prompt_index),
          .purpose = purpose};
}

/// At most floor(max_fraction * all groups of the step), of all ranks: those with the lowest keys,
/// in their order.
std::vector<size_t> cap_candidates(std::vector<size_t> candidates,
                                   const std::vector<RolloutGroup>& groups,
                                   double max_fraction,
                                   const InjectionContext& context) {
  const auto rank = [&](size_t index) {
    return key_of(groups[index], context, core::Purpose::kInjectionCap).bits();
  };
  std::string own = std::to_string(groups.size());
  for (const size_t index : candidates) own += core::str(" ", rank(index));
  std::vector<uint64_t> keys;
  double num_groups = 0.0;
  for (const std::string& bytes : context.exchange(own)) {
    std::istringstream numbers(bytes);
    double count = 0.0;
    numbers >> count;
    num_groups += count;
    for (uint64_t key = 0; numbers >> key;) keys.push_back(key);
  }
  // 1e-9: 0.29 * 100 is 28.999999999999996 in binary.
  const auto cap = static_cast<size_t>(std::floor(max_fraction * num_groups + 1e-9));
  if (keys.size() <= cap) return candidates;
  std::sort(keys.begin(), keys.end());
  std::erase_if(candidates, [&](size_t index) { return cap == 0 || rank(index) > keys[cap - 1]; });
  return candidates;
}

/// Whether injection has begun.
bool is_on(const InjectionOptions& options, const InjectionContext& context) {
  return options.when != InjectWhen::kNever && context.step > options.warmup_steps;
}

double sum_of_logprobs(const RolloutGroup& group, size_t index) {
  const Completion& completion = group.members[index].completion;
  SGRPO_CHECK(!completion.sampler_logprobs.empty(),
              "injection.victim lowest_logprob: member ",
              index,
              " of prompt ",
              group.prompt_index,
              " has no sampler log-probs; score recorded completions first");
  double sum = 0.0;
  for (const float logprob : completion.sampler_logprobs) sum += logprob;
  return sum;
}

/// An invalid member goes first, whatever the rule: it carries no signal, every failure does. Then
/// the lowest score, then the lowest index.
size_t choose_victim(const RolloutGroup& group, const std::vector<double>& scores) {
  const bool has_invalid =
      std::any_of(group.members.begin(), group.members.end(), [](const auto& member) {
        return !member.verdict.is_valid();
      });
  size_t victim = group.members.size();
  for (size_t i = 0; i < group.members.size(); ++i) {
    if (has_invalid && group.members[i].verdict.is_valid()) continue;
    if (victim == group.members.size() || scores[i] < scores[victim]) victim = i;
  }
  return victim;
}

/// Correct by definition; its parts, answer and items are those of its text, where that was judged.
GroupMember ground_truth_member(const RolloutGroup& group, double reward) {
  const EncodedPrompt& prompt = *group.prompt;
  GroupMember member;
  member.verdict = group.ground_truth_verdict.value_or(Verdict{});
  member.completion.token_ids = prompt.ground_truth_ids;
  member.completion.token_ends = group.ground_truth_ends;
  if (prompt.record != nullptr && prompt.record->injected_text()) {
    member.completion.text = *prompt.record->injected_text();
  }
  member.completion.finish_reason = FinishReason::kStop;
  member.completion.origin = Origin::kGroundTruth;
  member.verdict.reward = reward;
  member.verdict.status = VerdictStatus::kCorrect;
  return member;
}

void warn_once_if_beaten(const RolloutGroup& group, double gt_reward) {
  static std::atomic_flag has_warned;
  for (const GroupMember& member : group.members) {
    if (!is_sampled_and_valid(member) || member.verdict.reward <= gt_reward) continue;
    if (has_warned.test_and_set()) return;
    core::warn("injection.gt_reward is ",
               gt_reward,
               ", but a sampled member of prompt ",
               group.prompt_index,
               " has reward ",
               member.verdict.reward,
               ": the ground truth is not the best member; raise injection.gt_reward");
    return;
  }
}

size_t place_of_truth(const RolloutGroup& group,
                      const InjectionOptions& options,
                      const InjectionContext& context) {
  return options.mode == InjectMode::kAppend
             ? group.members.size()
             : choose_victim(group, victim_scores(group, options.victim, context));
}

}  // namespace

double ground_truth_reward(const RolloutGroup& group, const InjectionOptions& options) {
  if (options.gt_reward.is(GtReward::kJudged)) {
    SGRPO_CHECK(group.ground_truth_verdict,
                "injection.gt_reward judged: the ground truth of prompt ",
                group.prompt_index,
                " was not judged");
    return group.ground_truth_verdict->reward;
  }
  if (options.gt_reward.is(GtReward::kRelative)) {
    const std::vector<double> rewards = judged_rewards(group);
    const double best = *std::max_element(rewards.begin(), rewards.end());
    return std::max(options.gt_relative.floor, std::min(1.0, options.gt_relative.scale * best));
  }
  return options.gt_reward.number;
}

std::vector<double> victim_scores(const RolloutGroup& group,
                                  Victim rule,
                                  const InjectionContext& context) {
  std::vector<size_t> pool;  // of whom one goes
  for (size_t i = 0; i < group.members.size(); ++i) {
    if (!group.members[i].verdict.is_valid()) pool.push_back(i);
  }
  const bool has_invalid = !pool.empty();
  for (size_t i = 0; !has_invalid && i < group.members.size(); ++i) pool.push_back(i);
  std::vector<double> scores(group.members.size(), 0.0);
  switch (rule) {
    case Victim::kFirst: break;
    case Victim::kLast:
      for (const size_t i : pool) scores[i] = -static_cast<double>(i);
      break;
    case Victim::kRandom:
      scores[pool[key_of(group, context, core::Purpose::kVictim).below(pool.size())]] = -1.0;
      break;
    case Victim::kLowestReward:
      for (size_t i = 0; i < scores.size(); ++i) scores[i] = group.members[i].verdict.reward;
      break;
    // "Generation probability" of the paper's second-hand summary: favours the longest failure. An
    // invalid member may lack log-probs (its scoring failed with it).
    case Victim::kLowestLogprob:
      for (size_t i = 0; !has_invalid && i < scores.size(); ++i)
        scores[i] = sum_of_logprobs(group, i);
      break;
  }
  return scores;
}

void inject_at(RolloutGroup& group, size_t place, const InjectionOptions& options) {
  SGRPO_CHECK(
      !group.is_injected, "prompt ", group.prompt_index, " already holds an injected ground truth");
  const double reward = ground_truth_reward(group, options);
  if (!options.smoothing) warn_once_if_beaten(group, reward);
  GroupMember ground_truth = ground_truth_member(group, reward);
  if (place == group.members.size()) {
    group.members.push_back(std::move(ground_truth));
  } else {
    group.replaced = std::move(group.members[place]);
    group.members[place] = std::move(ground_truth);
  }
  group.is_injected = true;
}

bool wants_ground_truth(const RolloutGroup& group, const InjectionOptions& options) {
  return !group.prompt->ground_truth_ids.empty() && trigger_holds(group, options);
}

std::vector<size_t> groups_to_inject(std::vector<RolloutGroup>& groups,
                                     const InjectionOptions& options,
                                     const InjectionContext& context) {
  std::vector<size_t> candidates;
  if (!is_on(options, context)) return candidates;
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i].validate();
    validate(options, groups[i].size());
    if (!trigger_holds(groups[i], options)) continue;
    groups[i].missing_ground_truth = !has_ground_truth(groups[i]);
    if (!groups[i].missing_ground_truth) candidates.push_back(i);
  }
  return cap_candidates(std::move(candidates), groups, options.max_fraction, context);
}

std::vector<RolloutGroup> inject_ground_truth(std::vector<RolloutGroup> groups,
                                              const InjectionOptions& options,
                                              const InjectionContext& context) {
  for (const size_t i : groups_to_inject(groups, options, context))
    inject_at(groups[i], place_of_truth(groups[i], options, context), options);
  return groups;
}

std::vector<double> rewards_after_injection(const RolloutGroup& group,
                                            const InjectionOptions& options,
                                            const InjectionContext& context) {
  RolloutGroup repaired = group;
  if (is_on(options, context) && wants_ground_truth(group, options) && has_ground_truth(group))
    inject_at(repaired, place_of_truth(repaired, options, context), options);
  std::vector<double> rewards;
  for (const GroupMember& member : repaired.members) {
    if (member.verdict.is_valid()) rewards.push_back(member.verdict.reward);
  }
  return rewards;
}

void validate(const InjectionOptions& options, int64_t group_size) {
  if (options.gt_template && options.gt_template->find(kTemplateWord) == std::string::npos) {
    throw core::UserError(core::str("injection.gt_template is '",
                                    core::printable(*options.gt_template),
                                    "', expected a text with {ground_truth} in it"));
  }
  if (options.when == InjectWhen::kNever) return;
  if (options.gt_shape != GtShape::kNone &&
      options.gt_old_logprob != GtOldLogprob::kCurrentDetached) {
    throw core::UserError(core::str("injection.gt_shape is ",
                                    core::name_of(options.gt_shape),
                                    " and injection.gt_old_logprob is ",
                                    core::name_of(options.gt_old_logprob),
                                    ": shaping weighs the gradient itself, so it needs "
                                    "current_detached (ratio 1); change one of the two"));
  }
  if (options.mode == InjectMode::kReplace && group_size == 1) {
    throw core::UserError(
        "rollout.group_size is 1 and injection.mode is replace: the ground truth would stand alone "
        "and carry no signal; raise rollout.group_size, or set injection.mode: append or "
        "injection.when: never");
  }
}

}  // namespace sgrpo::algorithm
