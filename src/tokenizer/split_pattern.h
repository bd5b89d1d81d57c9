// A pre-tokenizer's regular expression, run by PCRE2 with the meaning that Oniguruma gives it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sgrpo::tokenizer {

/// The split of Qwen2, Qwen2.5 and Qwen3.
extern const std::string_view kQwenPattern;
/// The split of GPT-2, which ByteLevel applies by itself unless `use_regex` is false.
extern const std::string_view kGpt2Pattern;

/// Cuts text into the matches of an expression and what lies between them ("Isolated").
/// Immutable, safe to share between threads.
class SplitPattern {
 public:
  /// Throws core::UserError naming `where` and the construct that is not supported.
  SplitPattern(std::string_view expression, const std::string& where);
  ~SplitPattern();
  SplitPattern(SplitPattern&&) noexcept;
  SplitPattern& operator=(SplitPattern&&) noexcept;

  /// The pieces of well-formed UTF-8, in order; none is empty.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace sgrpo::tokenizer
