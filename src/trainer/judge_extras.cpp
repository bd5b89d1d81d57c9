// What is judged beside the sampled members: the completions that rewards are compared with, and
// ground truths whose parts a method reads.
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Whether anything reads what the verifiers say about the ground truth.
bool reads_ground_truth_verdict(const RunConfig& config) {
  if (config.injection.when == algorithm::InjectWhen::kNever) return false;
  if (config.injection.gt_reward.is(algorithm::GtReward::kJudged)) return true;
  algorithm::Needs needs = algorithm::make_estimator(config.algorithm)->needs();
  for (const auto& shaper :
       algorithm::make_shapers(config.algorithm, {.max_new_tokens = config.rollout.max_new_tokens}))
    needs = needs | shaper->needs();
  for (const auto& modifier : algorithm::make_modifiers(config.algorithm))
    needs = needs | modifier->needs();
  return needs.ground_truth_verdict;
}

/// Judges the texts of these groups' ground truths and remembers them by row. Failures are not
/// remembered: the row is judged again when it comes next.
void judge_texts(State& state, const std::vector<RolloutGroup*>& groups) {
  std::vector<verifier::VerifierSet::Job> jobs;
  for (const RolloutGroup* group : groups) {
    const PromptRecord& record = *group->prompt->record;
    jobs.push_back({.verifier = record.verifier,
                    .sample = {.completion = *record.injected_text(),
                               .ground_truth = record.ground_truth.value_or(""),
                               .columns = &record.columns},
                    .is_ground_truth = true});
  }
  const std::vector<Verdict> verdicts = state.verifiers->judge(jobs);
  for (size_t i = 0; i < groups.size(); ++i) {
    const PromptRecord& record = *groups[i]->prompt->record;
    groups[i]->ground_truth_verdict = verdicts[i];
    if (verdicts[i].is_valid()) {
      state.ground_truth_verdicts[record.source.str()] = verdicts[i];
      continue;
    }
    core::warn(record.source.str(),
               " (id '",
               record.id,
               "'): the verifier has no verdict on the ground truth (",
               to_string(verdicts[i].status),
               "): it is not injected this time");
  }
}

/// Where the tokens of a ground truth with items end in its text, unless its tokens spell another.
void place_items(const State& state, RolloutGroup& group) {
  if (!group.ground_truth_verdict || group.ground_truth_verdict->items.empty()) return;
  const EncodedPrompt& prompt = *group.prompt;
  std::vector<int64_t> ends =
      state.learner->policy().encoder()->completion_ends(prompt.ground_truth_ids);
  const auto bytes = static_cast<int64_t>(prompt.record->injected_text()->size());
  if (ends.back() == bytes) group.ground_truth_ends = std::move(ends);
}

}  // namespace

std::vector<RolloutGroup> judge_ground_truths(State& state, std::vector<RolloutGroup> groups) {
  if (!reads_ground_truth_verdict(state.config)) return groups;
  std::vector<RolloutGroup*> unknown;
  for (RolloutGroup& group : groups) {
    if (!algorithm::wants_ground_truth(group, state.config.injection)) continue;
    const auto known = state.ground_truth_verdicts.find(group.prompt->record->source.str());
    if (known == state.ground_truth_verdicts.end()) {
      unknown.push_back(&group);
    } else {
      group.ground_truth_verdict = known->second;
    }
  }
  judge_texts(state, unknown);
  for (RolloutGroup& group : groups) place_items(state, group);
  return groups;
}

std::vector<RolloutGroup> with_baselines(std::vector<RolloutGroup> groups) {
  const size_t count = groups.size();
  for (size_t i = 0; i < count; ++i) {
    if (!groups[i].baseline) continue;
    RolloutGroup alone;
    alone.prompt = groups[i].prompt;
    alone.prompt_index = groups[i].prompt_index;
    alone.members.push_back(std::move(*groups[i].baseline));
    groups.push_back(std::move(alone));
  }
  return groups;
}

std::vector<RolloutGroup> take_baselines(std::vector<RolloutGroup> groups, size_t count) {
  size_t next = count;
  for (size_t i = 0; i < count; ++i) {
    if (groups[i].baseline) groups[i].baseline = std::move(groups.at(next++).members.front());
  }
  groups.resize(count);
  return groups;
}

}  // namespace sgrpo::trainer
