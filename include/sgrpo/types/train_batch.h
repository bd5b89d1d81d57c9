// A micro-batch as losses take it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo {

namespace model {
struct PackedTokens;  // what a forward pass reads; losses do not
}

/// One micro-batch: whole groups, packed. Loss tokens are the completion tokens, in sequence order.
struct TrainBatch {
  std::shared_ptr<const model::PackedTokens> input;
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
