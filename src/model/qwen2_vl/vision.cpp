#include "model/qwen2_vl/vision.h"

#include <ATen/ATen.h>

#include "sgrpo/core/json.h"

namespace sgrpo::model::qwen2_vl {

VitConfig read_vision_config(const core::Json& config, const std::string& file) {
  const core::Json& vision = core::get_object(config, "vision_config", file);
  const std::string where = vision_place(file);
  // hidden_size is the width of the text here, embed_dim that of the tower.
  VitConfig result = read_vit_config(
      vision,
      where,
      {.hidden_size = "embed_dim", .out_hidden_size = "hidden_size", .activation = "quick_gelu"});
  const int64_t ratio = core::get_int_or(vision, "mlp_ratio", 4, where, 1, kMaxVisionWidth);
  check_vision_width(where, "embed_dim x mlp_ratio", result.hidden_size, ratio);
  result.intermediate_size = result.hidden_size * ratio;
  return result;
}

Tower::Tower(const VitConfig& config, WeightLoader& weights) : config_(config) {
  const std::string root = weights.find_root(kTowerRoot, "patch_embed.proj.weight");
  patch_embed_ = take_patch_embed(weights, root, config, /*has_bias=*/false);
  blocks_ = take_vit_blocks(
      weights, root, config, {.fc1 = "fc1", .fc2 = "fc2", .activation = quick_gelu});
  merger_ = take_merger(
      weights, root + "merger.", config, {.norm = "ln_q", .in = "mlp.0", .out = "mlp.2"});
}

VisionFeatures Tower::encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const {
  at::Tensor hidden = patch_embed_(pixel_values);
  const Rotary angles = vision_rotary(
      patch_positions(grid_thw, config_.merge_size), config_.head_dim(), hidden.device());
  const ops::AttentionPlan frames = plan_of_frames(grid_thw).to(hidden.device());
  for (const VitBlock& block : blocks_) hidden = block(hidden, angles, frames);
  return {.tokens = merger_(hidden), .deepstack = {}};
}

}  // namespace sgrpo::model::qwen2_vl
