// What a loss reads of a micro-batch, per decision; a token here, something else in other kinds of
// policy.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo {

/// Log-probabilities and entropies of every decision of a micro-batch.
struct Scores {
  at::Tensor logprobs;  // [M] f32, nats; with gradient unless under NoGradGuard
  at::Tensor entropy;   // [M] f32, nats
};

/// The decisions m = 0...M-1 of the sequences b = 0...B-1 of one micro-batch, on one device but for
/// what says CPU.
struct LossBatch {
  at::Tensor labels;            // [M] i64: the ids being predicted; undefined where nothing is one
  at::Tensor cu_seqlens;        // [B+1] i32 CPU: decisions of sequence b are [cu[b], cu[b+1])
  at::Tensor sequence_index;    // [M] i64: which sequence decision m belongs to
  at::Tensor weight;            // [M] f32, any sign; 0 = not in the loss
  at::Tensor advantages;        // [M] f32
  at::Tensor is_injected;       // [M] bool: the member is the ground truth
  at::Tensor old_logprobs;      // [M] f32; undefined = equal to the detached current ones
  at::Tensor ref_logprobs;      // [M] f32; undefined without a reference
  at::Tensor sampler_logprobs;  // [M] f32, NaN where unknown
  at::Tensor unit;              // [M] i64: list item, -1 = none; undefined: no decision has one
  std::vector<int64_t> group;   // [B]: the rows' groups, -1 = alone
  std::vector<int64_t> row;     // [B]: the rows' places among those that were packed

  int64_t num_decisions() const { return sequence_index.size(0); }
  int64_t num_sequences() const { return cu_seqlens.size(0) - 1; }
  /// [M] bool: decisions that count.
  at::Tensor in_loss() const;
  /// Everything but what says CPU on `device`: once after packing.
  LossBatch to(at::Device device) const;
  /// Throws c10::ValueError: "advantages has shape [7], expected [M] with M = 9".
  void validate() const;
};

/// What an optimizer step's sums are divided by: counted over all micro-batches and ranks, rows
/// left out for want of a signal included.
struct Denominators {
  int64_t decisions = 0;  // with weight other than 0
  int64_t sequences = 0;  // with at least one of them
  int64_t groups = 0;     // that hold such a sequence; a row without a group is one of its own
};

}  // namespace sgrpo
