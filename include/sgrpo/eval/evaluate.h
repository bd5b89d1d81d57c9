// Accuracy, pass@k and maj@k of a policy on a split; the same code for `eval` and for validation in
// training.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sgrpo/data/stream.h"
#include "sgrpo/eval/options.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/step_report.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::eval {

/// One evaluation.
struct EvalJob {
  EvalOptions options;
  int64_t max_new_tokens = 256;
  uint64_t seed = 0;
};

/// Rows of a split with their verdicts, as `eval --output` writes them.
struct EvalRow {
  std::shared_ptr<const PromptRecord> record;
  std::vector<GroupMember> samples;
};

struct EvalResult {
  StepReport metrics;  // val/{split}/pass@k, maj@k, val/{split}/{task}/pass@1, val/{split}/macro
  std::vector<EvalRow> rows;
  int64_t num_rejected = 0;  // rows that could not be read, encoded or judged
};

/// Throws data::RecordError if the row names a verifier that there is not.
void check_row_verifier(const verifier::VerifierSet& verifiers, const PromptRecord& record);

/// Evaluates one split. Bad rows are reported and left out; samples whose verifier failed are left
/// out of the means. Source of pass@k: arXiv 2107.03374, eq. 1 (unbiased estimator).
EvalResult evaluate(const policy::Policy& policy,
                    const verifier::VerifierSet& verifiers,
                    const data::EvalSet& split,
                    const EvalJob& job,
                    const std::function<void(int64_t)>& progress = {});

/// 1 - C(n - c, k) / C(n, k): the chance that k of n samples, c of them correct, hold a correct
/// one.
double pass_at_k(int64_t n, int64_t c, int64_t k);

/// Whether the most frequent of the first k texts is correct (first to appear wins ties).
bool majority_is_correct(const std::vector<GroupMember>& samples, int64_t k);

/// Verdicts for every member of every group, in place of their default ones.
std::vector<RolloutGroup> judge_groups(std::vector<RolloutGroup> groups,
                                       const verifier::VerifierSet& verifiers);

}  // namespace sgrpo::eval
