#include "sgrpo/eval/evaluate.h"

#include <algorithm>
#include <iterator>

#include "sgrpo/core/log.h"

namespace sgrpo::eval {
namespace {

/// Prompts encoded and sampled at a time: images of a large split never live in memory together.
constexpr size_t kChunk = 256;

using Prompts = std::vector<std::shared_ptr<const EncodedPrompt>>;

SamplingOptions sampling_of(const policy::Policy& policy, const EvalJob& job) {
  SamplingOptions sampling;
  sampling.max_new_tokens = job.max_new_tokens;
  sampling.greedy = job.options.temperature == 0.0;
  sampling.temperature = sampling.greedy ? 1.0 : job.options.temperature;
  sampling.end_token_ids = policy.end_token_ids();
  return sampling;
}

/// A row's completions are a function of the seed, its line in the file, and the weights.
std::vector<RolloutGroup> sample_chunk(const policy::Policy& policy,
                                       const Prompts& prompts,
                                       const EvalJob& job) {
  std::vector<SamplingRequest> requests;
  for (const auto& prompt : prompts) {
    const auto row = static_cast<uint64_t>(prompt->record->source.line - 1);
    requests.push_back({.prompt = prompt,
                        .num_samples = job.options.samples,
                        .key = {.seed = job.seed, .prompt_index = row},
                        .options = sampling_of(policy, job)});
  }
  std::vector<RolloutGroup> groups(requests.size());
  policy.sample(requests,
                [&](size_t request, RolloutGroup&& group) { groups[request] = std::move(group); });
  return groups;
}

/// The rows of the split that a share holds, encoded; bad ones are reported and counted.
Prompts encode_rows(const policy::Policy& policy,
                    const verifier::VerifierSet& verifiers,
                    const std::vector<std::shared_ptr<const PromptRecord>>& rows,
                    EvalResult& mutable_result) {
  Prompts prompts;
  for (const auto& record : rows) {
    try {
      check_row_verifier(verifiers, *record);
      prompts.push_back(std::make_shared<const EncodedPrompt>(policy.encoder()->encode(record)));
    } catch (const data::RecordError& error) {
      core::warn("bad row: ", error.what());
      ++mutable_result.sums.rejected;
      mutable_result.last_error = error.what();
    }
  }
  return prompts;
}

void warn_of_unjudged(const std::string& split, const EvalSums& sums) {
  const int64_t unjudged = sums.errors + sums.timeouts;
  if (unjudged == 0) return;
  core::warn("split '",
             split,
             "': ",
             unjudged,
             " of ",
             sums.judged + unjudged + sums.truncated,
             " rows were not judged (",
             sums.errors,
             " error, ",
             sums.timeouts,
             " timeout): they are in no mean");
}

}  // namespace

std::vector<RolloutGroup> judge_groups(std::vector<RolloutGroup> groups,
                                       const verifier::VerifierSet& verifiers) {
  std::vector<verifier::VerifierSet::Job> jobs;
  for (const RolloutGroup& group : groups) {
    const PromptRecord& record = *group.prompt->record;
    for (const GroupMember& member : group.members) {
      jobs.push_back(
          {.verifier = record.verifier,
           .sample = {.completion = member.completion.text,
                      .ground_truth = record.ground_truth.value_or(""),
                      .columns = &record.columns,
                      .is_truncated = member.completion.finish_reason == FinishReason::kLength}});
    }
  }
  std::vector<Verdict> verdicts = verifiers.judge(jobs);
  size_t next = 0;
  for (RolloutGroup& group : groups) {
    for (GroupMember& member : group.members) member.verdict = std::move(verdicts[next++]);
  }
  return groups;
}

void check_row_verifier(const verifier::VerifierSet& verifiers, const PromptRecord& record) {
  try {
    verifiers.check_name(record.verifier, "'verifier'");
  } catch (const core::UserError& error) {
    throw data::RecordError(record.source, record.id, error.what());
  }
}

EvalResult evaluate(const policy::Policy& policy,
                    const verifier::VerifierSet& verifiers,
                    const data::EvalSet& split,
                    const EvalJob& job,
                    const std::function<void(int64_t)>& progress) {
  std::vector<std::shared_ptr<const PromptRecord>> own;
  for (size_t i = 0; i < split.records.size(); ++i) {
    if (job.share.holds(static_cast<int64_t>(i))) own.push_back(split.records[i]);
  }
  EvalResult result;
  result.sums = empty_sums(split, job.options.k);
  if (job.share.index == 0) result.sums.rejected = split.num_rejected;
  for (size_t begin = 0; begin < own.size(); begin += kChunk) {
    const size_t end = std::min(own.size(), begin + kChunk);
    const auto first = own.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = own.begin() + static_cast<std::ptrdiff_t>(end);
    const auto prompts = encode_rows(policy, verifiers, {first, last}, result);
    for (RolloutGroup& group : judge_groups(sample_chunk(policy, prompts, job), verifiers)) {
      result.rows.push_back({group.prompt->record, std::move(group.members)});
      add_row(result.rows.back(), job.options.k, result.sums);
    }
    if (progress) progress(static_cast<int64_t>(end - begin));
  }
  warn_of_unjudged(split.name, result.sums);
  return result;
}

void check_usable(const data::EvalSet& split, const EvalResult& result) {
  if (!result.rows.empty()) return;
  throw core::UserError(
      core::str("split '", split.name, "' has no usable row; the last one: ", result.last_error));
}

}  // namespace sgrpo::eval
