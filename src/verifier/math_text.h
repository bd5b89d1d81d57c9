// Finds and reads the answer in a text with LaTeX.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/types/verdict.h"
#include "verifier/number.h"

namespace sgrpo::verifier {

/// Inside of the last complete \boxed{...} (or \fbox{...}), a view into `text`.
std::optional<std::string_view> boxed_answer(std::string_view text);

/// The line after the last "####" (GSM8K's answer mark), else the whole text; a view into `text`.
std::string_view after_hashes(std::string_view text);

/// A text made of pieces of another one.
struct MathText {
  std::string text;
  std::vector<TextSpan> places;  // of every byte: the source's bytes that it stands for

  /// The source's bytes behind [begin, end) of the text, which is not empty.
  TextSpan source(size_t begin, size_t end) const {
    return {.begin = places[begin].begin, .end = places[end - 1].end};
  }
};

/// The text without white space at both ends, dollar signs, LaTeX spacing and delimiters, \text
/// units, degree signs, currency signs and a final full stop; \dfrac and \tfrac become \frac.
MathText clean_math(std::string_view text);

/// The value of a cleaned text that is one number and nothing else (but a unit): "x = -1 1/2",
/// "\frac{3}{4}", "50\%" (= 1/2), "1,234.5", "3 \times 10^{-2}", "12 cm".
std::optional<Number> math_value(std::string_view text);

/// A value in running text.
struct MathValue {
  Number value;
  size_t begin = 0, end = 0;
};

/// The last number or \frac in a cleaned running text.
std::optional<MathValue> last_math_value(std::string_view text);

}  // namespace sgrpo::verifier
