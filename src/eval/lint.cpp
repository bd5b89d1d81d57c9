#include "sgrpo/eval/lint.h"

#include "sgrpo/core/text.h"

namespace sgrpo::eval {
namespace {

using core::str;

/// Whether the row's verifier exists; if not, the row says so.
bool check_verifier(const verifier::VerifierSet& verifiers,
                    const std::string& name,
                    data::LintedRow& row) {
  try {
    verifiers.check_name(name, row.source.str());
    return true;
  } catch (const core::UserError& error) {
    std::string reason = error.what();
    const std::string place = row.source.str() + ": ";  // said once, before all reasons
    if (core::starts_with(reason, place)) reason.erase(0, place.size());
    row.problems.push_back({"verifier", reason});
    return false;
  }
}

}  // namespace

void lint_ground_truths(const verifier::VerifierSet& verifiers,
                        const std::string& chosen,
                        std::vector<data::LintedRow>& mutable_rows) {
  std::vector<verifier::VerifierSet::Job> jobs;
  std::vector<data::LintedRow*> judged;
  for (data::LintedRow& row : mutable_rows) {
    if (row.record == nullptr) continue;
    const PromptRecord& record = *row.record;
    const std::string& name = chosen.empty() ? record.verifier : chosen;
    if (!check_verifier(verifiers, name, row) || !record.injected_text()) continue;
    jobs.push_back({name,
                    {.completion = *record.injected_text(),
                     .ground_truth = record.ground_truth.value_or(""),
                     .columns = &record.columns}});
    judged.push_back(&row);
  }
  const std::vector<Verdict> verdicts = verifiers.judge(jobs);
  for (size_t i = 0; i < verdicts.size(); ++i) {
    if (verdicts[i].status == VerdictStatus::kCorrect) continue;
    judged[i]->problems.push_back({"verifier",
                                   str("the verifier calls the row's own ground truth '",
                                       core::printable(jobs[i].sample.completion),
                                       "' ",
                                       to_string(verdicts[i].status),
                                       ", expected correct")});
  }
}

}  // namespace sgrpo::eval
