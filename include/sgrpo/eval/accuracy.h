// Verdicts of a split -> accuracies, each beside the number of rows that it covers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/data/stream.h"
#include "sgrpo/eval/options.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/step_report.h"

namespace sgrpo::eval {

/// A row of a split with its verdicts, as `eval --output` writes them.
struct EvalRow {
  std::shared_ptr<const PromptRecord> record;
  std::vector<GroupMember> samples;
};

/// A mean before its division.
struct Tally {
  double sum = 0.0;
  int64_t count = 0;
};

/// What rows add up to. Names and their order follow from split and options alone, so the sums of
/// several shares of a split can be added place by place. A row is judged if one of its samples is;
/// else it counts as a timeout, an error or truncated, in this order.
struct EvalSums {
  std::vector<std::pair<std::string, Tally>> accuracies;        // "pass@1", "maj@4", "easy/pass@1"
  int64_t judged = 0, errors = 0, timeouts = 0, truncated = 0;  // rows
  int64_t rejected = 0;  // rows that could not be read, encoded or given to a verifier
};

/// Sums without any row yet. Tasks are those of all the split's rows.
EvalSums empty_sums(const data::EvalSet& split, const std::vector<int64_t>& ks);

/// Adds one row: pass@k and maj@k over its judged samples, for each k that they are enough for.
/// Source of pass@k: arXiv 2107.03374, eq. 1 (unbiased estimator).
void add_row(const EvalRow& row, const std::vector<int64_t>& ks, EvalSums& mutable_sums);

/// val/{split}/{pass@k, maj@k, {task}/pass@1, macro}, each but macro with NAME/n, the rows it
/// covers; val/{split}/{n, error, timeout}, and truncated where there are such rows. A mean over
/// nothing is absent. Macro is the mean over the tasks that have a value.
StepReport metrics_of(const std::string& split, const EvalSums& sums);

/// The accuracies that metrics_of may give for these splits.
std::vector<std::string> metric_names(const std::vector<data::EvalSet>& splits,
                                      const EvalOptions& options);

/// 1 - C(n - c, k) / C(n, k): the chance that k of n samples, c of them correct, hold a correct
/// one.
double pass_at_k(int64_t n, int64_t c, int64_t k);

/// The place of the most frequent answer's first vote: empty answers do not vote, ties go to the
/// first to appear; nothing if all are empty.
std::optional<size_t> majority(const std::vector<std::string>& answers);

/// Whether the majority of the first k verdicts' answers is correct.
bool majority_is_correct(const std::vector<const Verdict*>& verdicts, int64_t k);

}  // namespace sgrpo::eval
