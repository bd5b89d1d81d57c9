#include "sgrpo/eval/accuracy.h"

#include <algorithm>
#include <map>
#include <set>

#include "sgrpo/core/check.h"

namespace sgrpo::eval {
namespace {

std::string pass_name(int64_t k) { return core::str("pass@", k); }
std::string majority_name(int64_t k) { return core::str("maj@", k); }
std::string task_name(const std::string& task, int64_t k) {
  return core::str(task, "/", pass_name(k));
}

std::set<std::string> tasks_of(const data::EvalSet& split) {
  std::set<std::string> tasks;
  for (const auto& record : split.records) {
    if (!record->task.empty()) tasks.insert(record->task);
  }
  return tasks;
}

Tally& tally_of(EvalSums& sums, const std::string& name) {
  const auto found = std::find_if(sums.accuracies.begin(),
                                  sums.accuracies.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  SGRPO_CHECK(found != sums.accuracies.end(), "no accuracy is called ", name);
  return found->second;
}

void add_value(double value, Tally& mutable_tally) {
  mutable_tally.sum += value;
  ++mutable_tally.count;
}

/// Why a row without a single judged sample has none.
int64_t& reason_of(const EvalRow& row, EvalSums& sums) {
  const auto any = [&](VerdictStatus status) {
    return std::any_of(row.samples.begin(), row.samples.end(), [&](const GroupMember& sample) {
      return sample.verdict.status == status;
    });
  };
  if (any(VerdictStatus::kTimeout)) return sums.timeouts;
  return any(VerdictStatus::kError) ? sums.errors : sums.truncated;
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

std::optional<size_t> majority(const std::vector<std::string>& answers) {
  std::map<std::string, int64_t> votes;
  for (const std::string& answer : answers) votes[answer] += !answer.empty();
  std::optional<size_t> winner;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].empty()) continue;
    if (!winner || votes[answers[i]] > votes[answers[*winner]]) winner = i;
  }
  return winner;
}

bool majority_is_correct(const std::vector<const Verdict*>& verdicts, int64_t k) {
  std::vector<std::string> answers;
  for (size_t i = 0; i < std::min(verdicts.size(), static_cast<size_t>(k)); ++i)
    answers.push_back(verdicts[i]->answer);
  const auto winner = majority(answers);
  return winner && verdicts[*winner]->status == VerdictStatus::kCorrect;
}

EvalSums empty_sums(const data::EvalSet& split, const std::vector<int64_t>& ks) {
  EvalSums sums;
  for (const int64_t k : ks) {
    sums.accuracies.emplace_back(pass_name(k), Tally());
    if (k > 1) sums.accuracies.emplace_back(majority_name(k), Tally());
  }
  for (const std::string& task : tasks_of(split))
    sums.accuracies.emplace_back(task_name(task, ks.front()), Tally());
  return sums;
}

void add_row(const EvalRow& row, const std::vector<int64_t>& ks, EvalSums& mutable_sums) {
  std::vector<const Verdict*> judged;
  for (const GroupMember& sample : row.samples) {
    if (sample.verdict.is_valid()) judged.push_back(&sample.verdict);
  }
  if (judged.empty()) {
    ++reason_of(row, mutable_sums);
    return;
  }
  ++mutable_sums.judged;
  const auto n = static_cast<int64_t>(judged.size());
  const int64_t correct = std::count_if(judged.begin(), judged.end(), [](const Verdict* verdict) {
    return verdict->status == VerdictStatus::kCorrect;
  });
  for (const int64_t k : ks) {
    if (n < k) continue;
    const double pass = pass_at_k(n, correct, k);
    add_value(pass, tally_of(mutable_sums, pass_name(k)));
    if (k > 1) {
      add_value(majority_is_correct(judged, k) ? 1.0 : 0.0,
                tally_of(mutable_sums, majority_name(k)));
    }
    if (k == ks.front() && !row.record->task.empty())
      add_value(pass, tally_of(mutable_sums, task_name(row.record->task, k)));
  }
}

StepReport metrics_of(const std::string& split, const EvalSums& sums) {
  const std::string prefix = "val/" + split + "/";
  StepReport report;
  Tally macro;
  for (const auto& [name, tally] : sums.accuracies) {
    if (tally.count > 0) {
      const double mean = tally.sum / static_cast<double>(tally.count);
      report.set(prefix + name, mean);
      if (name.find('/') != std::string::npos) add_value(mean, macro);
    }
    report.set(prefix + name + "/n", static_cast<double>(tally.count));
  }
  if (macro.count > 0) report.set(prefix + "macro", macro.sum / static_cast<double>(macro.count));
  report.set(prefix + "n", static_cast<double>(sums.judged));
  report.set(prefix + "error", static_cast<double>(sums.errors));
  report.set(prefix + "timeout", static_cast<double>(sums.timeouts));
  if (sums.truncated > 0) report.set(prefix + "truncated", static_cast<double>(sums.truncated));
  return report;
}

std::vector<std::string> metric_names(const std::vector<data::EvalSet>& splits,
                                      const EvalOptions& options) {
  std::vector<std::string> names;
  for (const data::EvalSet& split : splits) {
    const std::string prefix = "val/" + split.name + "/";
    for (const auto& [name, tally] : empty_sums(split, options.k).accuracies)
      names.push_back(prefix + name);
    if (!tasks_of(split).empty()) names.push_back(prefix + "macro");
  }
  return names;
}

}  // namespace sgrpo::eval
