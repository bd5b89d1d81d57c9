#include <algorithm>
#include <iterator>
#include <map>

#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/one_launch.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/algorithm/shaping.h"
#include "trainer/labels.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// Before completions whose verifier failed are judged again: a judge may be starting, or busy.
const std::vector<std::chrono::milliseconds> kPauses = {
    std::chrono::seconds(1), std::chrono::seconds(10), std::chrono::seconds(60)};

SamplingOptions sampling_options(const State& state) {
  SamplingOptions sampling = rollout::sampling_options(state.config.rollout);
  sampling.end_token_ids = state.learner->policy().end_token_ids();
  return sampling;
}

void request(const State& state,
             const PromptBatch& prompts,
             int64_t num_samples,
             int64_t step,
             std::vector<SamplingRequest>& mutable_requests) {
  if (num_samples == 0) return;
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    mutable_requests.push_back(
        {.prompt = prompts.prompts[i],
         .num_samples = num_samples,
         .key = {.seed = static_cast<uint64_t>(state.config.seed),
                 .step = static_cast<uint64_t>(step),
                 .prompt_index = static_cast<uint64_t>(prompts.prompt_index[i])},
         .options = sampling_options(state)});
  }
}

/// One completion more for each of the first `num_prompts` requests, if the estimator compares
/// with one.
void request_baselines(const State& state,
                       size_t num_prompts,
                       std::vector<SamplingRequest>& mutable_requests) {
  const auto options =
      algorithm::make_estimator(state.config.algorithm)->baseline_request(sampling_options(state));
  if (!options) return;
  for (size_t i = 0; i < num_prompts; ++i) {
    SamplingRequest baseline = mutable_requests[i];
    baseline.num_samples = 1;
    baseline.first_index = state.config.rollout.group_size;
    baseline.options = *options;
    mutable_requests.push_back(std::move(baseline));
  }
}

std::vector<RolloutGroup> sample(State& state, const std::vector<SamplingRequest>& requests) {
  const policy::Policy& policy = state.learner->policy();
  const double seen = policy.vision_seconds();
  std::vector<RolloutGroup> groups(requests.size());
  policy.sample(requests, [&](size_t request, RolloutGroup&& group) {
    groups[request] = std::move(group);
    state.starts->forget();
  });
  state.timer.credit("vision", policy.vision_seconds() - seen);
  return groups;
}

std::vector<std::shared_ptr<const EncodedPrompt>> prompts_of(
    const std::vector<RolloutGroup>& groups) {
  std::vector<std::shared_ptr<const EncodedPrompt>> prompts;
  for (const RolloutGroup& group : groups) prompts.push_back(group.prompt);
  return prompts;
}

/// Groups that were not sampled have none.
void set_places(const PromptBatch& prompts, std::vector<RolloutGroup>& mutable_groups) {
  for (size_t i = 0; i < mutable_groups.size(); ++i) mutable_groups[i].place = prompts.places.at(i);
}

std::vector<int64_t> places_of(const std::vector<RolloutGroup>& groups) {
  std::vector<int64_t> places;
  for (const RolloutGroup& group : groups) places.push_back(group.place);
  return places;
}

/// The numbers that this rank's groups, then its further ones, have among those of all ranks once
/// the further ones are spread among the others.
std::vector<int64_t> numbers_of_step(const std::vector<int64_t>& own,
                                     const std::vector<int64_t>& own_more,
                                     distributed::Communicator& ranks) {
  std::vector<int64_t> all, all_more;
  for (const std::string& bytes :
       ranks.all_gather_bytes(core::Json{{"groups", own}, {"more", own_more}}.dump())) {
    const core::Json theirs = core::parse_json(bytes, "another rank");
    for (const core::Json& place : theirs.at("groups")) all.push_back(place.get<int64_t>());
    for (const core::Json& place : theirs.at("more")) all_more.push_back(place.get<int64_t>());
  }
  std::sort(all.begin(), all.end());
  std::sort(all_more.begin(), all_more.end());
  std::map<int64_t, int64_t> numbers, numbers_more;
  size_t next = 0, next_more = 0;
  int64_t number = 0;
  for (const bool is_more : spread(all.size(), all_more.size()))
    (is_more ? numbers_more[all_more[next_more++]] : numbers[all[next++]]) = number++;
  std::vector<int64_t> result;
  for (const int64_t place : own) result.push_back(numbers.at(place));
  for (const int64_t place : own_more) result.push_back(numbers_more.at(place));
  return result;
}

/// The completion as sampled: a text that ends, or ids that end with an end token or were cut.
Completion recorded_completion(const policy::Policy& policy,
                               const std::vector<int64_t>& ids,
                               int64_t index) {
  const auto& ends = policy.end_token_ids();
  const bool is_complete = std::find(ends.begin(), ends.end(), ids.back()) != ends.end();
  Completion completion;
  completion.token_ids = ids;
  completion.text = policy.encoder()->completion_text(ids);
  completion.token_ends = policy.encoder()->completion_ends(ids);
  completion.finish_reason = is_complete ? FinishReason::kStop : FinishReason::kLength;
  completion.sample_index = index;
  return completion;
}

/// Recorded ids come from outside: they must be tokens of this model, and possible ones.
std::vector<int64_t> recorded_ids(const State& state,
                                  const data::RecordedGroup& group,
                                  size_t index) {
  const policy::Policy& policy = state.learner->policy();
  const data::RecordedCompletion& recorded = group.completions[index];
  std::vector<int64_t> ids =
      recorded.token_ids ? *recorded.token_ids : policy.encoder()->completion_ids(recorded.text);
  const std::string bad = policy.find_bad_id(ids, state.config.rollout.sampling_mask);
  if (bad.empty()) return ids;
  throw core::UserError(core::str(
      group.source.str(), " (id '", group.record->id, "'): completion ", index, " holds ", bad));
}

/// Sampler log-probs and entropies of recordings: one scoring pass under the rollout policy.
void score_recordings(const State& state, std::vector<RolloutGroup>& groups) {
  const auto scores = state.learner->score(
      algorithm::rows_of(groups), state.scoring(/*is_sft=*/false), learner::Who::kCurrent);
  algorithm::set_scores(groups, scores.logprobs, algorithm::ScoreKind::kSampler);
  size_t next = 0;
  for (RolloutGroup& group : groups) {
    for (GroupMember& member : group.members) {
      double sum = 0.0;
      for (const float entropy : scores.entropy[next]) sum += static_cast<double>(entropy);
      member.completion.entropy_sum = sum;
      ++next;
    }
  }
}

std::vector<RolloutGroup> replayed(const State& state, const FedBatch& batch) {
  const policy::Policy& policy = state.learner->policy();
  std::vector<RolloutGroup> groups;
  for (size_t i = 0; i < batch.prompts.prompts.size(); ++i) {
    const data::RecordedGroup& recording = *batch.recordings[i];
    RolloutGroup group;
    group.prompt = batch.prompts.prompts[i];
    group.prompt_index = batch.prompts.prompt_index[i];
    for (size_t c = 0; c < recording.completions.size(); ++c) {
      group.members.emplace_back().completion =
          recorded_completion(policy, recorded_ids(state, recording, c), static_cast<int64_t>(c));
    }
    group.validate();
    groups.push_back(std::move(group));
  }
  score_recordings(state, groups);
  return groups;
}

/// A recorded reward as a verdict: a reward of 1 counts as correct where no status was recorded.
Verdict recorded_verdict(const data::RecordedCompletion& recorded) {
  const VerdictStatus by_reward =
      *recorded.reward == 1.0 ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
  Verdict verdict;
  verdict.reward = *recorded.reward;
  verdict.status = recorded.status.value_or(by_reward);
  return verdict;
}

}  // namespace

int64_t tokens_of(const std::vector<RolloutGroup>& groups) {
  int64_t total = 0;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      total +=
          group.prompt->num_tokens() + static_cast<int64_t>(member.completion.token_ids.size());
    }
  }
  return total;
}

int64_t tokens_of(const std::vector<TrainRow>& rows) {
  int64_t total = 0;
  for (const TrainRow& row : rows)
    total += row.prompt->num_tokens() + static_cast<int64_t>(row.decisions.size());
  return total;
}

std::vector<RolloutGroup> sample_retention(State& state, const PromptBatch& prompts, int64_t step) {
  state.begin("generate");
  std::vector<SamplingRequest> requests;
  request(state, prompts, retention_samples(state.config, state.is_sft(step)), step, requests);
  std::vector<RolloutGroup> groups = sample(state, requests);
  set_places(prompts, groups);
  return groups;
}

Rollout roll_out(State& state, const FedBatch& batch, int64_t step) {
  if (state.feed->is_replay()) {
    Rollout rollout{.groups = {}, .retained = sample_retention(state, batch.retention, step)};
    rollout.groups = replayed(state, batch);
    set_places(batch.prompts, rollout.groups);
    return rollout;
  }
  state.begin("generate");
  std::vector<SamplingRequest> requests;
  request(state, batch.prompts, state.config.rollout.group_size, step, requests);
  const size_t num_prompts = requests.size();
  request(state, batch.retention, retention_samples(state.config, false), step, requests);
  const size_t num_groups = requests.size();
  request_baselines(state, num_prompts, requests);
  Rollout rollout{.groups = sample(state, requests), .retained = {}};
  for (size_t i = num_groups; i < rollout.groups.size(); ++i)
    rollout.groups[i - num_groups].baseline = std::move(rollout.groups[i].members.front());
  const auto begin = rollout.groups.begin();
  rollout.retained.assign(std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(num_prompts)),
                          std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(num_groups)));
  rollout.groups.resize(num_prompts);
  set_places(batch.prompts, rollout.groups);
  set_places(batch.retention, rollout.retained);
  return rollout;
}

std::vector<RolloutGroup> judge(State& state,
                                std::vector<RolloutGroup> groups,
                                const FedBatch& batch) {
  state.begin("verify");
  const size_t count = groups.size();
  const auto prompts = prompts_of(groups);
  const bool votes = state.config.algorithm.labels == algorithm::Labels::kMajority;
  if (votes) groups = label_by_majority(state, std::move(groups), kPauses);
  MemberFilter is_asked;  // where rewards were recorded, no verifier is
  if (!batch.recordings.empty()) {
    is_asked = [&batch](size_t group, size_t member) {
      return !batch.recordings[group]->completions[member].reward;
    };
  }
  for (size_t i = 0; i < batch.recordings.size(); ++i) {
    const auto& recorded = batch.recordings[i]->completions;
    for (size_t member = 0; member < recorded.size(); ++member) {
      if (recorded[member].reward)
        groups[i].members[member].verdict = recorded_verdict(recorded[member]);
    }
  }
  auto& ranks = *state.communicator;
  groups = together(ranks, [&] {
    for (const RolloutGroup& group : groups) {
      const PromptRecord& record = *group.prompt->record;
      state.verifiers->check_name(record.verifier, record.source.str());
    }
    return judge_members(state, with_baselines(std::move(groups)), is_asked);
  });
  groups = judge_again(state, std::move(groups), kPauses, is_asked);
  groups = take_baselines(std::move(groups), count);
  if (votes) groups = take_labels_off(state, std::move(groups), prompts);
  return together(
      ranks, [&] { return judge_ground_truths(state, algorithm::classify(std::move(groups))); });
}

algorithm::InjectionContext injection_context(State& state, int64_t step) {
  return {.seed = static_cast<uint64_t>(state.config.seed),
          .step = step,
          .exchange = [&state](const std::string& bytes) {
            return state.communicator->all_gather_bytes(bytes);
          }};
}

std::vector<RolloutGroup> score_members(State& state,
                                        std::vector<RolloutGroup> groups,
                                        const algorithm::Needs& needs) {
  if (!needs.old_logprobs && !needs.ref_logprobs && needs.frozen.empty()) return groups;
  const auto rows = algorithm::rows_of(groups);
  const policy::ScoringOptions scoring = state.scoring(/*is_sft=*/false);
  if (needs.old_logprobs) {
    algorithm::set_scores(groups,
                          state.learner->score(rows, scoring, learner::Who::kCurrent).logprobs,
                          algorithm::ScoreKind::kOld);
  }
  if (needs.ref_logprobs) {
    algorithm::set_scores(groups,
                          state.learner->score(rows, scoring, learner::Who::kReference).logprobs,
                          algorithm::ScoreKind::kReference);
  }
  for (const std::string& name : needs.frozen)
    algorithm::set_frozen_scores(groups, state.learner->score(rows, scoring, name).logprobs, name);
  return groups;
}

bool pays_kl(const algorithm::AlgorithmOptions& options) {
  return options.has_kl_reward() && !algorithm::make_estimator(options)->takes_token_kl();
}

std::vector<RolloutGroup> assign_credit(State& state,
                                        std::vector<RolloutGroup> groups,
                                        const algorithm::AlgorithmOptions& given,
                                        int64_t step) {
  const RunConfig& config = state.config;
  const algorithm::AlgorithmOptions options = state.learner->with_coefficients(given);
  const at::Device device = state.learner->policy().device();
  if (device.is_cuda() && algorithm::fits_one_launch(options))
    return algorithm::inject_and_estimate(
        std::move(groups), options, config.injection, injection_context(state, step), device);
  const auto shapers =
      algorithm::make_shapers(options, {.max_new_tokens = config.rollout.max_new_tokens});
  const auto modifiers = algorithm::make_modifiers(options);
  const auto estimator = algorithm::make_estimator(options);
  algorithm::Needs needs = estimator->needs();
  for (const auto& shaper : shapers) needs = needs | shaper->needs();
  for (const auto& modifier : modifiers) needs = needs | modifier->needs();
  const bool is_kl_paid = pays_kl(options);
  if (is_kl_paid) needs = needs | algorithm::Needs{.old_logprobs = true, .ref_logprobs = true};

  groups = algorithm::inject_ground_truth(
      std::move(groups), config.injection, injection_context(state, step));
  groups =
      together(*state.communicator, [&] { return score_members(state, std::move(groups), needs); });
  groups = algorithm::shape_rewards(std::move(groups), shapers, config.injection);
  if (is_kl_paid) groups = algorithm::subtract_kl(std::move(groups), options.kl_coef);
  groups = algorithm::compute_advantages(
      std::move(groups), options, config.injection, [&](std::vector<double> sums) {
        return state.communicator->reduce(std::move(sums));
      });
  groups = algorithm::modify_advantages(
      std::move(groups),
      modifiers,
      {.seed = static_cast<uint64_t>(config.seed), .step = static_cast<uint64_t>(step)});
  return algorithm::weigh_failures(std::move(groups), config.injection);
}

std::vector<TrainRow> rows_of_step(State& state,
                                   std::vector<RolloutGroup> groups,
                                   std::vector<RolloutGroup> more) {
  const auto numbers = numbers_of_step(places_of(groups), places_of(more), *state.communicator);
  groups.insert(
      groups.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  std::vector<std::pair<int64_t, size_t>> order;
  for (size_t i = 0; i < groups.size(); ++i) order.emplace_back(numbers[i], i);
  std::sort(order.begin(), order.end());
  std::vector<RolloutGroup> ordered;
  for (const auto& [number, i] : order) ordered.push_back(std::move(groups[i]));
  std::vector<TrainRow> rows = algorithm::rows_of(ordered);
  for (TrainRow& row : rows) row.group = order[static_cast<size_t>(row.group)].first;
  return rows;
}

std::vector<TrainRow> supervised_rows(const State& state, const PromptBatch& prompts) {
  const data::PromptEncoder& encoder = *state.learner->policy().encoder();
  std::vector<TrainRow> rows;
  for (const auto& prompt : prompts.prompts) {
    const PromptRecord& record = *prompt->record;
    const auto ids = record.completion && state.task == Task::kSft
                         ? encoder.completion_ids(*record.completion)
                         : prompt->ground_truth_ids;
    if (ids.empty()) {
      throw data::RecordError(
          record.source,
          record.id,
          "no completion, ground_truth_completion or ground_truth to learn from");
    }
    rows.push_back(completion_row(prompt, ids));
  }
  return rows;
}

}  // namespace sgrpo::trainer
