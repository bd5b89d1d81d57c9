// How completions are sampled: filled in one place from a configuration or from flags.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sgrpo {

/// How completions are sampled.
struct SamplingOptions {
  int64_t max_new_tokens = 128;
  double temperature = 1.0;   // divides the logits
  double top_p = 1.0;         // 1 = off
  int64_t top_k = 0;          // 0 = off
  bool greedy = false;        // the likeliest token; temperature still shapes the log-probs
  bool sampling_mask = true;  // placeholders and ids beyond the tokenizer are never sampled
  /// Any of them ends a completion and is kept; empty: nothing but max_new_tokens does.
  std::vector<int64_t> end_token_ids = {};
  /// The token that completes any of them ends a completion and is kept, wherever in the text it
  /// is.
  std::vector<std::string> stop_texts = {};
};

}  // namespace sgrpo
