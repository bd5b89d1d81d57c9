#include "sgrpo/eval/evaluate.h"

#include <algorithm>
#include <map>

#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"

namespace sgrpo::eval {
namespace {

/// Prompts encoded and sampled at a time: images of a large split never live in memory together.
constexpr size_t kChunk = 256;

struct Mean {
  double sum = 0.0;
  int64_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return count == 0 ? 0.0 : sum / static_cast<double>(count); }
};

SamplingOptions sampling_of(const policy::Policy& policy, const EvalJob& job) {
  SamplingOptions sampling;
  sampling.max_new_tokens = job.max_new_tokens;
  sampling.greedy = job.options.temperature == 0.0;
  sampling.temperature = sampling.greedy ? 1.0 : job.options.temperature;
  sampling.end_token_ids = policy.end_token_ids();
  return sampling;
}

std::vector<RolloutGroup> sample_chunk(
    const policy::Policy& policy,
    const std::vector<std::shared_ptr<const EncodedPrompt>>& prompts,
    int64_t first_index,
    const EvalJob& job) {
  std::vector<SamplingRequest> requests;
  for (const auto& prompt : prompts) {
    const auto index = static_cast<uint64_t>(first_index) + requests.size();
    requests.push_back({.prompt = prompt,
                        .num_samples = job.options.samples,
                        .key = {.seed = job.seed, .prompt_index = index},
                        .options = sampling_of(policy, job)});
  }
  std::vector<RolloutGroup> groups(requests.size());
  policy.sample(requests, [&](size_t request, RolloutGroup&& group) {
    groups[request] = std::move(group);
  });
  return groups;
}

/// Means over rows, for the split and for each of its tasks.
StepReport summarise(const std::string& split,
                     const std::vector<EvalRow>& rows,
                     const std::vector<int64_t>& ks) {
  StepReport report;
  std::map<std::string, Mean> tasks;
  for (const int64_t k : ks) {
    Mean pass, majority;
    for (const EvalRow& row : rows) {
      std::vector<GroupMember> valid;
      for (const GroupMember& sample : row.samples) {
        if (sample.verdict.is_valid()) valid.push_back(sample);
      }
      const auto n = static_cast<int64_t>(valid.size());
      if (n < k) continue;
      const int64_t correct = std::count_if(valid.begin(), valid.end(), [](const GroupMember& m) {
        return m.verdict.status == VerdictStatus::kCorrect;
      });
      pass.add(pass_at_k(n, correct, k));
      majority.add(majority_is_correct(valid, k) ? 1.0 : 0.0);
      if (k == ks.front() && !row.record->task.empty())
        tasks[row.record->task].add(pass_at_k(n, correct, k));
    }
    report.set(core::str("val/", split, "/pass@", k), pass.value());
    if (k > 1) report.set(core::str("val/", split, "/maj@", k), majority.value());
  }
  Mean macro;
  for (const auto& [task, mean] : tasks) {
    report.set(core::str("val/", split, "/", task, "/pass@", ks.front()), mean.value());
    macro.add(mean.value());
  }
  if (macro.count > 0) report.set(core::str("val/", split, "/macro"), macro.value());
  return report;
}

}  // namespace

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  SGRPO_CHECK(k >= 1 && k <= n && c >= 0 && c <= n, "pass_at_k: n = ", n, ", c = ", c, ", k = ", k);
  double miss = 1.0;  // product of (n - c - i) / (n - i): no factorials, no overflow
  for (int64_t i = 0; i < k; ++i) {
    miss *= static_cast<double>(std::max<int64_t>(n - c - i, 0)) / static_cast<double>(n - i);
  }
  return 1.0 - miss;
}

bool majority_is_correct(const std::vector<GroupMember>& samples, int64_t k) {
  std::map<std::string, int64_t> votes;
  const auto count = std::min(samples.size(), static_cast<size_t>(k));
  for (size_t i = 0; i < count; ++i) ++votes[samples[i].completion.text];
  const GroupMember* winner = nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (winner == nullptr || votes[samples[i].completion.text] > votes[winner->completion.text])
      winner = &samples[i];
  }
  return winner != nullptr && winner->verdict.status == VerdictStatus::kCorrect;
}

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
  EvalResult result;
  result.num_rejected = split.num_rejected;
  std::string last_error;
  for (size_t begin = 0; begin < split.records.size(); begin += kChunk) {
    const size_t end = std::min(split.records.size(), begin + kChunk);
    std::vector<std::shared_ptr<const EncodedPrompt>> prompts;
    for (size_t i = begin; i < end; ++i) {
      try {
        check_row_verifier(verifiers, *split.records[i]);
        prompts.push_back(std::make_shared<const EncodedPrompt>(
            policy.encoder()->encode(split.records[i])));
      } catch (const data::RecordError& error) {
        core::warn("bad row: ", error.what());
        ++result.num_rejected;
        last_error = error.what();
      }
    }
    auto groups =
        judge_groups(sample_chunk(policy, prompts, static_cast<int64_t>(begin), job), verifiers);
    for (RolloutGroup& group : groups)
      result.rows.push_back({group.prompt->record, std::move(group.members)});
    if (progress) progress(static_cast<int64_t>(end - begin));
  }
  if (result.rows.empty())
    throw core::UserError(
        core::str("split '", split.name, "' has no usable row; the last one: ", last_error));
  result.metrics = summarise(split.name, result.rows, job.options.k);
  return result;
}

}  // namespace sgrpo::eval
