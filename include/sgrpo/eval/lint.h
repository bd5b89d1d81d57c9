// Whether a row's verifier accepts the row's own ground truth.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/data/lint.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::eval {

/// Judges what injection would use of every parsed row that has a ground truth, and adds a problem
/// `verifier` where the verdict is not correct or the row names an unknown verifier. `chosen` takes
/// the place of the rows' own choice; "" = theirs.
void lint_ground_truths(const verifier::VerifierSet& verifiers,
                        const std::string& chosen,
                        std::vector<data::LintedRow>& mutable_rows);

}  // namespace sgrpo::eval
