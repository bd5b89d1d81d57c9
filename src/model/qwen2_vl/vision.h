// Qwen2-VL's vision tower: LayerNorm, quick-GELU, every patch sees its whole frame.
#pragma once

#include "model/vit.h"

namespace sgrpo::model::qwen2_vl {

/// Throws core::UserError naming file and key.
VitConfig read_vision_config(const core::Json& config, const std::string& where);

class Tower final : public VisionTower {
 public:
  Tower(const VitConfig& config, WeightLoader& weights);
  VisionFeatures encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const override;

 private:
  VitConfig config_;
  PatchEmbed patch_embed_;
  std::vector<VitBlock> blocks_;
  Merger merger_;
};

}  // namespace sgrpo::model::qwen2_vl
