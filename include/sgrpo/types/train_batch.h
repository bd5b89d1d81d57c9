// Packed tokens as a forward takes them: prompts once, completions behind them, no padding.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace sgrpo {

/// Attention structure of a packed token row: for every query segment, the keys it sees.
/// Keys of a row j of segment s: all of [prefix_begin, prefix_end), then [self_begin, self_end) up
/// to its own position when causal (the last query row sees all of it).
struct SegmentTable {
  at::Tensor
      rows;  // [S, 6] i64 CPU: q_begin, q_end, prefix_begin, prefix_end, self_begin, self_end

  int64_t size() const { return rows.defined() ? rows.size(0) : 0; }
};

/// What a forward pass needs: tokens, positions, pixels and who attends to whom. Segments are
/// prompt tries of depth one: a prompt is a segment without prefix, each of its completions a
/// segment whose prefix is the prompt.
struct PackedTokens {
  at::Tensor token_ids;     // [T] i64
  at::Tensor position_ids;  // [3, T] i64
  at::Tensor pixel_values;  // [N, D_patch] f32; N = 0 without images
  at::Tensor grid_thw;      // [I, 3] i64 CPU
  SegmentTable segments;    // covers [0, T) exactly once on the query side

  int64_t num_tokens() const { return token_ids.size(0); }
  /// Throws c10::ValueError naming the member with a wrong shape or dtype, or segments with a hole.
  void validate() const;
};

}  // namespace sgrpo
