// Finds and reads the answer in a text with LaTeX.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "verifier/number.h"

namespace sgrpo::verifier {

/// Inside of the last complete \boxed{...} (or \fbox{...}).
std::optional<std::string> boxed_answer(std::string_view text);

/// The line after the last "####" (GSM8K's answer mark), else the whole text.
std::string after_hashes(std::string_view text);

/// The text without white space at both ends, dollar signs, LaTeX spacing and delimiters, \text
/// units, degree signs, currency signs and a final full stop; \dfrac and \tfrac become \frac.
std::string clean_math(std::string_view text);

/// The value of a cleaned text that is one number and nothing else (but a unit): "x = -1 1/2",
/// "\frac{3}{4}", "50\%" (= 1/2), "1,234.5", "3 \times 10^{-2}", "12 cm".
std::optional<Number> math_value(std::string_view text);

/// The last number or \frac in a cleaned running text.
std::optional<Number> last_math_value(std::string_view text);

}  // namespace sgrpo::verifier
