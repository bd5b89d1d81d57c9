// Qwen2.5-VL's vision tower: RMSNorm, SwiGLU, windowed attention but in a few blocks.
#pragma once

#include <set>

#include "model/vit.h"

namespace sgrpo::model::qwen2_5_vl {

struct VisionConfig : VitConfig {
  int64_t window_size = 112;  // pixels
  // As in transformers, numbers beyond the depth have no effect: towers cut short keep them.
  std::set<int64_t> full_attention_blocks;
};

/// Throws core::UserError naming file and key.
VisionConfig read_vision_config(const core::Json& config, const std::string& where);

/// The order of merged patches in which attention windows are contiguous, and the windows' lengths
/// in patches.
struct Windows {
  std::vector<int64_t> order;    // [M]: window order -> image order
  std::vector<int64_t> inverse;  // [M]: image order -> window order
  std::vector<int64_t> lengths;  // patches a window; ragged at the right and lower edge
};
Windows window_order(const at::Tensor& grid_thw, const VisionConfig& config);

class Tower final : public VisionTower {
 public:
  Tower(const VisionConfig& config, WeightLoader& weights);
  VisionFeatures encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const override;

 private:
  struct Block {
    at::Tensor norm1, norm2;
    VitAttention attention;
    Linear down_proj;
    LinearStack gate_up;
  };
  at::Tensor run_block(const Block& block,
                       at::Tensor hidden,
                       const Rotary& angles,
                       const ops::AttentionPlan& plan) const;
  Rotary rotary(const at::Tensor& grid_thw, const at::Tensor& order) const;

  VisionConfig config_;
  PatchEmbed patch_embed_;
  std::vector<Block> blocks_;
  at::Tensor merger_norm_;
  Linear merger_in_, merger_out_;
};

}  // namespace sgrpo::model::qwen2_5_vl
