// Packed tokens as the trainer's forward takes them: prompts once, completions behind them, no
// padding.
#pragma once

#include <cstdint>
#include <vector>

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

/// One micro-batch: whole groups, packed. Loss tokens are the completion tokens, in sequence order.
struct TrainBatch {
  PackedTokens input;
  at::Tensor logit_rows;        // [M] i64: row of `input` whose hidden state predicts loss token m
  at::Tensor labels;            // [M] i64: the token ids being predicted
  at::Tensor sequence_index;    // [M] i64: which sequence of this micro-batch token m belongs to
  at::Tensor cu_seqlens;        // [B+1] i32 CPU: loss tokens of sequence b are [cu[b], cu[b+1])
  at::Tensor loss_mask;         // [M] bool: false = no loss (invalid member)
  at::Tensor advantages;        // [M] f32
  at::Tensor is_injected;       // [M] bool: the member is the ground truth
  at::Tensor old_logprobs;      // [M] f32; undefined = equal to the detached current ones
  at::Tensor ref_logprobs;      // [M] f32; undefined without KL
  at::Tensor sampler_logprobs;  // [M] f32, NaN where unknown; monitoring only
  std::vector<int64_t> group_of_sequence;  // [B] index into the step's groups
  int64_t num_loss_tokens_global = 0;      // over all micro-batches and ranks of the optimizer step
  int64_t num_sequences_global = 0;        // likewise, sequences with at least one loss token

  int64_t num_loss_tokens() const { return labels.size(0); }
  int64_t num_sequences() const { return cu_seqlens.size(0) - 1; }
  /// Throws c10::ValueError: "advantages has shape [7], expected [M] with M = 9".
  void validate() const;
};

}  // namespace sgrpo
