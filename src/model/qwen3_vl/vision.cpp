#include "model/qwen3_vl/vision.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "sgrpo/core/json.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::model::qwen3_vl {
namespace {

/// The side of the square grid that the table of positions holds.
int64_t read_grid_side(const core::Json& vision, const std::string& where) {
  const int64_t count = core::get_int(vision, "num_position_embeddings", where, 1, kMaxVisionWidth);
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
  if (side * side != count) {
    throw core::UserError(core::str(
        where, ": num_position_embeddings is ", count, ", expected a square: rows x columns"));
  }
  return side;
}

}  // namespace

VisionConfig read_vision_config(const core::Json& config, const std::string& file) {
  const core::Json& vision = core::get_object(config, "vision_config", file);
  const std::string where = vision_place(file);
  VisionConfig result{
      read_vit_config(vision, where, {.patch_size = 16, .activation = "gelu_pytorch_tanh"}), 0, {}};
  result.intermediate_size = core::get_int(vision, "intermediate_size", where, 1, kMaxVisionWidth);
  result.grid_side = read_grid_side(vision, where);
  result.deepstack_blocks = core::get_int_list(vision, "deepstack_visual_indexes", where);
  return result;
}

GridTaps interpolate_grid(const at::Tensor& grid_thw, int64_t merge_size, int64_t grid_side) {
  const at::Tensor sizes =
      grid_thw.narrow(1, 1, 2).repeat_interleave(grid_thw.prod(1), 0);  // [N, 2]: height, width
  const at::Tensor place = patch_positions(grid_thw, merge_size).to(at::kFloat) * (grid_side - 1) /
                           (sizes - 1).clamp_min(1);
  const at::Tensor floor = place.floor();
  const at::Tensor low = floor.to(at::kLong), high = (low + 1).clamp_max(grid_side - 1);
  // The upper weight is 1 - (1 - x) and not x: transformers rounds in this order.
  const at::Tensor low_weight = 1 - (place - floor), high_weight = 1 - low_weight;
  const auto taps = at::stack({low, high}, 2).unbind(1);  // rows and columns, [N, 2] each
  const auto weights = at::stack({low_weight, high_weight}, 2).unbind(1);
  const at::Tensor rows = taps[0].unsqueeze(2) * grid_side + taps[1].unsqueeze(1);  // [N, 2, 2]
  const at::Tensor both = weights[0].unsqueeze(2) * weights[1].unsqueeze(1);
  return {rows.flatten(1), both.flatten(1)};
}

Tower::Tower(const VisionConfig& config, WeightLoader& weights) : config_(config) {
  Root names = kTowerRoot;
  std::swap(names.names[0], names.names[1]);  // what new checkpoints take
  const std::string root = weights.find_root(names, "patch_embed.proj.weight");
  patch_embed_ = take_patch_embed(weights, root, config, /*has_bias=*/true);
  positions_ = weights.take(root + "pos_embed.weight",
                            {config.grid_side * config.grid_side, config.hidden_size},
                            kTowerPlace);
  blocks_ = take_vit_blocks(
      weights, root, config, {.fc1 = "linear_fc1", .fc2 = "linear_fc2", .activation = tanh_gelu});
  MergerSpec spec = {.norm = "norm", .in = "linear_fc1", .out = "linear_fc2"};
  merger_ = take_merger(weights, root + "merger.", config, spec);
  spec.norms_merged = true;
  for (size_t i = 0; i < config.deepstack_blocks.size(); ++i) {
    const std::string prefix = core::str(root, "deepstack_merger_list.", i, ".");
    deepstack_mergers_.push_back(take_merger(weights, prefix, config, spec));
  }
}

VisionFeatures Tower::encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const {
  at::Tensor hidden = patch_embed_(pixel_values);
  const at::Device device = hidden.device();
  const GridTaps taps = interpolate_grid(grid_thw, config_.merge_size, config_.grid_side);
  const at::Tensor around = ops::embed(positions_, taps.rows.to(device));  // [N, 4, hidden]
  const at::Tensor position = (around * taps.weights.to(device).unsqueeze(2)).sum(1);
  hidden = hidden + position.to(hidden.scalar_type());
  const Rotary angles =
      vision_rotary(patch_positions(grid_thw, config_.merge_size), config_.head_dim(), device);
  const ops::AttentionPlan frames = plan_of_frames(grid_thw).to(device);
  VisionFeatures features;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    hidden = blocks_[i](hidden, angles, frames);
    const auto& blocks = config_.deepstack_blocks;
    const auto found = std::find(blocks.begin(), blocks.end(), static_cast<int64_t>(i));
    if (found == blocks.end()) continue;
    const auto merger = static_cast<size_t>(found - blocks.begin());
    features.deepstack.push_back(deepstack_mergers_[merger](hidden));
  }
  features.tokens = merger_(hidden);
  return features;
}

}  // namespace sgrpo::model::qwen3_vl
