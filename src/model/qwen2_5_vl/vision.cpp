#include "model/qwen2_5_vl/vision.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "sgrpo/core/json.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::model::qwen2_5_vl {

VisionConfig read_vision_config(const core::Json& config, const std::string& file) {
  const core::Json& vision = core::get_object(config, "vision_config", file);
  const std::string where = vision_place(file);
  VisionConfig result{read_vit_config(vision, where, {}), 112, {}};
  result.intermediate_size = core::get_int(vision, "intermediate_size", where, 1, kMaxVisionWidth);
  result.window_size = core::get_int_or(vision, "window_size", 112, where, 1, kMaxVisionEdge);
  const auto full = core::get_int_list(vision, "fullatt_block_indexes", where);
  result.full_attention_blocks = {full.begin(), full.end()};
  if (result.window_size < result.patch_size * result.merge_size) {
    throw core::UserError(core::str(where,
                                    ": window_size is ",
                                    result.window_size,
                                    ", expected at least patch_size * spatial_merge_size = ",
                                    result.patch_size * result.merge_size));
  }
  return result;
}

Windows window_order(const at::Tensor& grid_thw, const VisionConfig& config) {
  const int64_t window =
      config.window_size / config.merge_size / config.patch_size;  // in merged patches
  const int64_t unit = config.merge_size * config.merge_size;
  Windows windows;
  int64_t base = 0;
  const auto grid = grid_thw.accessor<int64_t, 2>();
  for (int64_t image = 0; image < grid_thw.size(0); ++image) {
    const int64_t height = grid[image][1] / config.merge_size,
                  width = grid[image][2] / config.merge_size;
    for (int64_t frame = 0; frame < grid[image][0]; ++frame, base += height * width) {
      for (int64_t tile = 0;
           tile < (height + window - 1) / window * ((width + window - 1) / window);
           ++tile) {
        const int64_t across = (width + window - 1) / window;
        const int64_t top = tile / across * window, left = tile % across * window;
        const int64_t rows = std::min(window, height - top),
                      columns = std::min(window, width - left);
        for (int64_t cell = 0; cell < rows * columns; ++cell) {
          windows.order.push_back(base + (top + cell / columns) * width + left + cell % columns);
        }
        windows.lengths.push_back(rows * columns * unit);
      }
    }
  }
  windows.inverse.resize(windows.order.size());
  for (size_t i = 0; i < windows.order.size(); ++i)
    windows.inverse[static_cast<size_t>(windows.order[i])] = static_cast<int64_t>(i);
  return windows;
}

Tower::Tower(const VisionConfig& config, WeightLoader& weights) : config_(config) {
  const std::string root = weights.find_root(kTowerRoot, "patch_embed.proj.weight");
  const int64_t hidden = config.hidden_size, merged = config.merged_size();
  patch_embed_ = take_patch_embed(weights, root, config, /*has_bias=*/false);
  for (int64_t i = 0; i < config.depth; ++i) {
    const std::string prefix = core::str(root, "blocks.", i, ".");
    const Place inside = {Role::kTower, i}, end = {Role::kTower, i, true};
    Block block;
    block.norm1 = weights.take(prefix + "norm1.weight", {hidden}, inside);
    block.norm2 = weights.take(prefix + "norm2.weight", {hidden}, inside);
    block.attention = take_vit_attention(weights, prefix + "attn.", config, i);
    block.gate_up =
        take_linear_stack(weights,
                          {.prefix = prefix + "mlp.",
                           .names = {"gate_proj", "up_proj"},
                           .sizes = {config.intermediate_size, config.intermediate_size},
                           .has_bias = true},
                          hidden,
                          inside);
    block.down_proj =
        take_linear(weights, prefix + "mlp.down_proj", config.intermediate_size, hidden, true, end);
    blocks_.push_back(std::move(block));
  }
  merger_norm_ = weights.take(root + "merger.ln_q.weight", {hidden}, kMergerPlace);
  merger_in_ = take_linear(weights, root + "merger.mlp.0", merged, merged, true, kMergerPlace);
  merger_out_ = take_linear(
      weights, root + "merger.mlp.2", merged, config.out_hidden_size, true, kMergerPlace);
}

Rotary Tower::rotary(const at::Tensor& grid_thw, const at::Tensor& order) const {
  const at::Tensor positions = patch_positions(grid_thw, config_.merge_size)
                                   .view({-1, config_.merge_unit() * 2})
                                   .index_select(0, order)
                                   .view({-1, 2});
  return vision_rotary(positions, config_.head_dim(), patch_embed_.weight.device());
}

at::Tensor Tower::run_block(const Block& block,
                            at::Tensor hidden,
                            const Rotary& angles,
                            const ops::AttentionPlan& plan) const {
  const at::Tensor normed = ops::rms_norm(hidden, block.norm1, kVisionNormEps);
  hidden = hidden + block.attention(normed, angles, plan);
  const auto gate_up = block.gate_up(ops::rms_norm(hidden, block.norm2, kVisionNormEps));
  return hidden + block.down_proj(ops::swiglu(gate_up[0], gate_up[1]));
}

VisionFeatures Tower::encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const {
  const int64_t unit = config_.merge_unit(), hidden_size = config_.hidden_size;
  const Windows windows = window_order(grid_thw, config_);
  const at::Device device = patch_embed_.weight.device();
  const at::Tensor order = at::tensor(windows.order, at::kLong);
  at::Tensor hidden = patch_embed_(pixel_values);
  hidden = hidden.view({-1, unit, hidden_size})
               .index_select(0, order.to(device))
               .view({-1, hidden_size});
  const Rotary angles = rotary(grid_thw, order);
  const auto in_window = ops::AttentionPlan::of_lengths(windows.lengths, false).to(device);
  const auto in_frame = plan_of_frames(grid_thw).to(device);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const bool is_full = config_.full_attention_blocks.count(static_cast<int64_t>(i)) != 0;
    hidden = run_block(blocks_[i], hidden, angles, is_full ? in_frame : in_window);
  }
  const at::Tensor merged =
      ops::rms_norm(hidden, merger_norm_, kVisionNormEps).view({-1, unit * hidden_size});
  const at::Tensor features = merger_out_(at::gelu(merger_in_(merged)));
  return {.tokens = features.index_select(0, at::tensor(windows.inverse, at::kLong).to(device)),
          .deepstack = {}};
}

}  // namespace sgrpo::model::qwen2_5_vl
