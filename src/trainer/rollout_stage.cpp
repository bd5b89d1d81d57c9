#include <ATen/ATen.h>

#include <map>

#include "sgrpo/algorithm/packing.h"
#include "sgrpo/rollout/rollout.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Before completions whose verifier failed are judged again: a judge may be starting, or busy.
const std::vector<std::chrono::milliseconds> kPauses = {
    std::chrono::seconds(1), std::chrono::seconds(10), std::chrono::seconds(60)};

rollout::SamplingOptions sampling_options(const Run& run, int64_t step) {
  const rollout::RolloutOptions& options = run.config.rollout;
  rollout::SamplingOptions sampling;
  sampling.group_size = options.group_size;
  sampling.max_new_tokens = options.max_new_tokens;
  sampling.temperature = options.temperature;
  sampling.top_p = options.top_p;
  sampling.top_k = options.top_k;
  sampling.seed = static_cast<uint64_t>(run.config.seed);
  sampling.step = step;
  sampling.end_token_ids = run.policy.end_token_ids;
  if (options.sampling_mask) sampling.masked_ids = run.policy.masked_ids;
  sampling.weight_version = run.optimizer->count();
  return sampling;
}

std::vector<RolloutGroup> sample(Run& run, const PromptBatch& prompts, int64_t step) {
  std::vector<rollout::SamplingRequest> requests;
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    requests.push_back({&prompts.prompts[i], prompts.prompt_index[i]});
  }
  const double seen = run.policy.model->vision_seconds();
  auto groups = rollout::sample_groups(*run.policy.model, requests, sampling_options(run, step));
  run.timer.credit("vision", run.policy.model->vision_seconds() - seen);
  for (RolloutGroup& group : groups) {
    for (GroupMember& member : group.members) {
      member.completion.text = run.policy.encoder->completion_text(member.completion.token_ids);
    }
  }
  return groups;
}

/// The completion as sampled: a text that ends, or ids that end with an end token or were cut.
Completion recorded_completion(const Run& run, const std::vector<int64_t>& ids, int64_t index) {
  const auto& ends = run.policy.end_token_ids;
  const bool is_complete = std::find(ends.begin(), ends.end(), ids.back()) != ends.end();
  Completion completion;
  completion.token_ids = ids;
  completion.text = run.policy.encoder->completion_text(ids);
  completion.finish_reason = is_complete ? FinishReason::kStop : FinishReason::kLength;
  completion.sample_index = index;
  completion.weight_version = run.optimizer->count();
  return completion;
}

/// Sampler log-probs of recordings, which the victim rule needs: one scoring pass under the rollout
/// policy.
void score_recordings(Run& run, std::vector<RolloutGroup>& groups) {
  const at::NoGradGuard no_grad;
  const algorithm::PackingOptions packing{
      .micro_batch_tokens = run.config.trainer.micro_batch_tokens,
      .share_prefix = run.config.model.share_prefix};
  for (RolloutGroup& group : groups) {
    const auto batches = algorithm::pack_groups({&group}, packing);
    for (const TrainBatch& batch : batches) {
      const auto scores =
          rollout::score(*run.policy.model, batch, run.masked_ids, run.config.rollout.temperature);
      const at::Tensor logprobs = scores.logprobs.cpu();
      const auto bounds = batch.cu_seqlens.accessor<int32_t, 1>();
      for (size_t i = 0; i < group.members.size(); ++i) {
        const at::Tensor own =
            logprobs.slice(0, bounds[static_cast<int64_t>(i)], bounds[static_cast<int64_t>(i) + 1]);
        group.members[i].completion.sampler_logprobs.assign(
            own.const_data_ptr<float>(), own.const_data_ptr<float>() + own.numel());
      }
    }
  }
}

/// Recorded ids come from outside: they must be tokens of this model.
void check_recording(const Run& run, const data::RecordedGroup& group) {
  for (size_t i = 0; i < group.completions.size(); ++i) {
    const auto& recorded = group.completions[i];
    const std::string bad =
        eval::find_bad_id(run.policy,
                          recorded.token_ids ? *recorded.token_ids
                                             : run.policy.encoder->completion_ids(recorded.text));
    if (bad.empty()) continue;
    throw core::UserError(core::str(
        group.source.str(), " (id '", group.record->id, "'): completion ", i, " holds ", bad));
  }
}

/// The recordings of one prompt that a step may take: the step's own where the file tells steps
/// apart, else all.
std::vector<const data::RecordedGroup*> candidates(const Run& run,
                                                   const PromptRecord& record,
                                                   int64_t step) {
  std::vector<const data::RecordedGroup*> own, all;
  for (const data::RecordedGroup& group : run.replay) {
    if (group.record->id != record.id) continue;
    all.push_back(&group);
    if (group.step == step) own.push_back(&group);
  }
  if (all.empty()) {
    throw core::UserError(core::str(*run.config.rollout.replay,
                                    ": no recorded completions for prompt '",
                                    record.id,
                                    "' of ",
                                    record.source.str()));
  }
  return own.empty() ? all : own;
}

/// The recording of every prompt of a step. A small data set may give a prompt twice: its n-th
/// place takes the n-th recording, and the first again when they are used up.
std::vector<const data::RecordedGroup*> recordings_of(const Run& run,
                                                      const PromptBatch& prompts,
                                                      int64_t step) {
  std::vector<const data::RecordedGroup*> result;
  std::map<std::string, size_t> places;
  for (const EncodedPrompt& prompt : prompts.prompts) {
    const auto groups = candidates(run, *prompt.record, step);
    result.push_back(groups[places[prompt.record->id]++ % groups.size()]);
  }
  return result;
}

std::vector<RolloutGroup> replayed(Run& run, const PromptBatch& prompts, int64_t step) {
  const auto recordings = recordings_of(run, prompts, step);
  std::vector<RolloutGroup> groups;
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    RolloutGroup group;
    group.prompt = &prompts.prompts[i];
    group.prompt_index = prompts.prompt_index[i];
    const data::RecordedGroup& recording = *recordings[i];
    check_recording(run, recording);
    for (const data::RecordedCompletion& recorded : recording.completions) {
      GroupMember member;
      member.completion = recorded_completion(
          run,
          recorded.token_ids ? *recorded.token_ids
                             : run.policy.encoder->completion_ids(recorded.text),
          group.size());
      group.members.push_back(std::move(member));
    }
    group.validate();
    groups.push_back(std::move(group));
  }
  score_recordings(run, groups);
  return groups;
}

/// A recorded reward as a verdict: a reward of 1 counts as correct where no status was recorded.
Verdict recorded_verdict(const data::RecordedCompletion& recorded) {
  const VerdictStatus by_reward =
      *recorded.reward == 1.0 ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
  return {
      .reward = *recorded.reward, .status = recorded.status.value_or(by_reward), .breakdown = {}};
}

}  // namespace

std::vector<RolloutGroup> roll_out(Run& run, const PromptBatch& prompts, int64_t step) {
  return !run.replay.empty() ? replayed(run, prompts, step) : sample(run, prompts, step);
}

std::vector<RolloutGroup> judge(Run& run,
                                std::vector<RolloutGroup> groups,
                                const PromptBatch& prompts,
                                int64_t step) {
  for (const RolloutGroup& group : groups) {
    const PromptRecord& record = *group.prompt->record;
    run.verifiers->check_name(record.verifier, record.source.str());
  }
  groups = eval::judge_groups(std::move(groups), *run.verifiers);
  if (run.replay.empty()) return judge_again(run, std::move(groups), kPauses);
  const auto recordings = recordings_of(run, prompts, step);
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto& recorded = recordings[i]->completions;
    for (size_t member = 0; member < recorded.size(); ++member) {
      if (recorded[member].reward)
        groups[i].members[member].verdict = recorded_verdict(recorded[member]);
    }
  }
  return groups;
}

std::vector<RolloutGroup> ground_truth_groups(const Run& run, const PromptBatch& prompts) {
  std::vector<RolloutGroup> groups;
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    const EncodedPrompt& prompt = prompts.prompts[i];
    const PromptRecord& record = *prompt.record;
    GroupMember member;
    member.completion.token_ids = record.completion && run.task == Task::kSft
                                      ? run.policy.encoder->completion_ids(*record.completion)
                                      : prompt.ground_truth_ids;
    if (member.completion.token_ids.empty()) {
      throw data::RecordError(
          record.source,
          record.id,
          "no completion, ground_truth_completion or ground_truth to learn from");
    }
    member.completion.text = run.policy.encoder->completion_text(member.completion.token_ids);
    member.completion.origin = Origin::kGroundTruth;
    member.verdict = {.reward = 1.0, .status = VerdictStatus::kCorrect, .breakdown = {}};
    RolloutGroup group;
    group.prompt = &prompt;
    group.prompt_index = prompts.prompt_index[i];
    group.members.push_back(std::move(member));
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace sgrpo::trainer
