// Prompts and what stands behind them -> one row of tokens as a model reads it. The only place that
// lays tokens out: prefill, scoring and training use it alike.
#pragma once

#include <cstdint>
#include <vector>

#include "sgrpo/model/packed_tokens.h"
#include "sgrpo/types/encoded_prompt.h"

namespace sgrpo::model {

/// Collects prompts and branches behind each other, without padding.
///
/// A branch continues a prompt: it sees the prompt and itself, and its positions go on from the
/// prompt's next_position(). With `share_prefix` a prompt is laid out once for all its branches;
/// without, every branch carries a copy of it in the same segment.
class TokenPacker {
 public:
  /// Lays out a prompt and returns its first row.
  int64_t add_prompt(const EncodedPrompt& prompt);
  /// Lays out a branch of the prompt whose rows begin at `prompt_begin` and returns its first row;
  /// an empty branch has no rows and no segment.
  int64_t add_branch(const EncodedPrompt& prompt,
                     int64_t prompt_begin,
                     const std::vector<int64_t>& ids);
  /// Lays out a copy of the prompt and `ids` behind it as one segment; returns the first row.
  int64_t add_sequence(const EncodedPrompt& prompt, const std::vector<int64_t>& ids);

  int64_t num_rows() const { return next_row_; }
  /// Everything added so far, on the CPU. At least one prompt was added.
  PackedTokens build() const;

 private:
  void append_prompt(const EncodedPrompt& prompt);
  void append_ids(const std::vector<int64_t>& ids, int64_t position);
  void add_segment(int64_t q_begin, int64_t prefix_begin, int64_t prefix_end);

  int64_t next_row_ = 0;
  std::vector<at::Tensor> token_ids_, position_ids_, pixel_values_, grids_;
  at::Tensor no_pixels_;
  std::vector<ops::AttentionSegment> segments_;
  std::vector<int64_t> image_rows_;
};

}  // namespace sgrpo::model
