// A policy on a split: sample, judge, sum up; the same code for `eval` and for validation in
// training.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sgrpo/core/share.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/eval/accuracy.h"
#include "sgrpo/eval/options.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::eval {

/// One evaluation. A completion's random numbers have the key (seed, its row's line in the file,
/// sample): which rows are bad, or who evaluates, changes no other row.
struct EvalJob {
  EvalOptions options;
  int64_t max_new_tokens = 256;
  uint64_t seed = 0;
  core::Share share = {};  // of the split's rows
};

/// What a share of a split came to.
struct EvalResult {
  EvalSums sums;
  std::vector<EvalRow> rows;
  std::string last_error;  // of the rows that were left out; "" = there is none
};

/// Throws data::RecordError if the row names a verifier that there is not.
void check_row_verifier(const verifier::VerifierSet& verifiers, const PromptRecord& record);

/// Evaluates one split, or a share of it. Bad rows are reported and left out; rows that no verifier
/// judged are counted and in no mean, which is said.
EvalResult evaluate(const policy::Policy& policy,
                    const verifier::VerifierSet& verifiers,
                    const data::EvalSet& split,
                    const EvalJob& job,
                    const std::function<void(int64_t)>& progress = {});

/// Throws core::UserError if every row of the split was left out.
void check_usable(const data::EvalSet& split, const EvalResult& result);

/// Verdicts for every member of every group, in place of their default ones.
std::vector<RolloutGroup> judge_groups(std::vector<RolloutGroup> groups,
                                       const verifier::VerifierSet& verifiers);

}  // namespace sgrpo::eval
