// Packed tokens as a forward pass takes them: prompts once, completions behind them, no padding.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/ops/attention_plan.h"
#include "sgrpo/types/encoded_prompt.h"

namespace sgrpo::model {

/// What a forward pass needs: tokens, positions, pixels and who attends to whom.
struct PackedTokens {
  at::Tensor token_ids;       // [T] i64
  at::Tensor position_ids;    // [3, T] i64
  at::Tensor pixel_values;    // [N, D_patch] f32; N = 0 without images
  at::Tensor grid_thw;        // [I, 3] i64 CPU
  at::Tensor image_rows;      // [R] i64: rows whose embedding an image's features replace, in order
  ops::AttentionPlan plan;    // of T queries
  int64_t num_positions = 0;  // one more than the largest position; 0: nobody says

  int64_t num_tokens() const { return token_ids.size(0); }
  bool has_images() const { return pixel_values.defined() && pixel_values.size(0) > 0; }
  /// Everything but the grids, which the host reads, on `device`: once after packing.
  PackedTokens to(at::Device device) const;
  /// Throws c10::ValueError or TypeError naming the member with a wrong shape or dtype, or what
  /// does not lie on `device`.
  void validate(at::Device device) const;
};

/// Adds the image rows of a prompt that is packed from row `begin` on.
void append_image_rows(const EncodedPrompt& prompt, int64_t begin, std::vector<int64_t>& rows);

}  // namespace sgrpo::model
