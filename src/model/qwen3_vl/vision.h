// Qwen3-VL's vision tower: LayerNorm, tanh-GELU, a learned grid of positions, and features of
// several depths.
#pragma once

#include "model/vit.h"

namespace sgrpo::model::qwen3_vl {

struct VisionConfig : VitConfig {
  int64_t grid_side = 0;  // the learned positions are grid_side x grid_side
  // Blocks whose outputs go to the language layers, by the merger's number. As in transformers,
  // what is beyond the depth of either side has no effect: models cut short keep them.
  std::vector<int64_t> deepstack_blocks;
};

/// Throws core::UserError naming file and key.
VisionConfig read_vision_config(const core::Json& config, const std::string& where);

/// The four learned positions around every patch and their weights: an image's corners are the
/// grid's corners, everything between is bilinear.
struct GridTaps {
  at::Tensor rows;     // [N, 4] i64: rows of the table of positions
  at::Tensor weights;  // [N, 4] f32
};
GridTaps interpolate_grid(const at::Tensor& grid_thw, int64_t merge_size, int64_t grid_side);

class Tower final : public VisionTower {
 public:
  Tower(const VisionConfig& config, WeightLoader& weights);
  VisionFeatures encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const override;

 private:
  VisionConfig config_;
  PatchEmbed patch_embed_;
  at::Tensor positions_;  // [grid_side^2, hidden]
  std::vector<VitBlock> blocks_;
  Merger merger_;
  std::vector<Merger> deepstack_mergers_;  // as deepstack_blocks
};

}  // namespace sgrpo::model::qwen3_vl
