// The four ways a verifier answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sgrpo/types/verdict.h"

namespace sgrpo::verifier {

/// Reward 1, kCorrect; or reward 0, kIncorrect.
Verdict graded(bool is_correct);

/// Reward 0, kUnparsed: the text holds no answer of the expected form.
Verdict unparsed();

/// kError: the sample cannot be judged (bad ground truth, broken verifier) and is masked. The
/// reason is logged, each distinct one once.
Verdict failed(const std::string& reason);

/// kTimeout: no verdict within the limit; masked and logged like `failed`.
Verdict timed_out(const std::string& reason);

/// `failed` for a row without a ground truth.
Verdict no_ground_truth(std::string_view verifier);

/// `verdict` with the answer that was read and where it stands.
Verdict answered(Verdict verdict,
                 std::string answer,
                 const std::optional<TextSpan>& span = std::nullopt);

/// The bytes of `text` that `part`, a view into it, covers.
TextSpan span_of(std::string_view text, std::string_view part);

/// Logs a warning, each distinct one once and at most a fixed number in all.
void warn_once(const std::string& message);

}  // namespace sgrpo::verifier
