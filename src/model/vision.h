// The interface of a vision tower: patches of all images -> features of image tokens.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/ops/attention_plan.h"

namespace sgrpo::model {

/// Features of all image tokens, in image order.
struct VisionFeatures {
  at::Tensor tokens;  // [M, D]: take the place of the placeholders' embeddings
  /// [M, D] each: added to the hidden states after layers 0, 1, 2, ...
  std::vector<at::Tensor> deepstack;
};

class VisionTower {
 public:
  virtual ~VisionTower() = default;
  /// pixel_values [N, D_patch], grid_thw [I, 3] i64 CPU.
  virtual VisionFeatures encode(const at::Tensor& pixel_values,
                                const at::Tensor& grid_thw) const = 0;
};

/// Row and column of every patch, [N, 2] i64, in the order of pixel_values: merge x merge blocks,
/// row by row.
at::Tensor patch_positions(const at::Tensor& grid_thw, int64_t merge_size);

/// Patches see all patches of their frame.
ops::AttentionPlan plan_of_frames(const at::Tensor& grid_thw);

}  // namespace sgrpo::model
