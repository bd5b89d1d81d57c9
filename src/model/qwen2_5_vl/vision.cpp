#include "model/qwen2_5_vl/vision.h"

#include <ATen/ATen.h>

#include <cmath>

#include "sgrpo/core/json.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::model::qwen2_5_vl {
namespace {

constexpr double kNormEps = 1e-6;
constexpr double kRotaryBase = 10000.0;
constexpr int64_t kLargest = int64_t{1} << 32;
const char* const kVision = "vision";
const char* const kMerger = "merger";

}  // namespace

VisionConfig read_vision_config(const core::Json& config, const std::string& file) {
  const core::Json& vision = core::get_object(config, "vision_config", file);
  const std::string where = file + " (vision_config)";
  const auto size = [&](const char* key, int64_t fallback) {
    return core::get_int_or(vision, key, fallback, where, 1, kLargest);
  };
  VisionConfig result;
  result.depth = core::get_int(vision, "depth", where, 1, kLargest);
  result.hidden_size = core::get_int(vision, "hidden_size", where, 1, kLargest);
  result.intermediate_size = core::get_int(vision, "intermediate_size", where, 1, kLargest);
  result.num_heads = core::get_int(vision, "num_heads", where, 1, kLargest);
  result.out_hidden_size = core::get_int(vision, "out_hidden_size", where, 1, kLargest);
  result.in_channels = size("in_channels", size("in_chans", 3));
  result.patch_size = size("patch_size", 14);
  result.temporal_patch_size = size("temporal_patch_size", 2);
  result.merge_size = size("spatial_merge_size", 2);
  result.window_size = size("window_size", 112);
  for (const int64_t block : core::get_int_list(vision, "fullatt_block_indexes", where)) {
    result.full_attention_blocks.insert(block);
  }
  const std::string activation = core::get_string_or(vision, "hidden_act", "silu", where);
  if (activation != "silu") {
    throw core::UserError(core::str(where, ": hidden_act is '", activation, "', expected silu"));
  }
  if (result.hidden_size % result.num_heads != 0 ||
      result.hidden_size / result.num_heads % 4 != 0) {
    throw core::UserError(
        core::str(where,
                  ": hidden_size ",
                  result.hidden_size,
                  " / num_heads ",
                  result.num_heads,
                  " must be a multiple of 4 (rows and columns each turn half of a head)"));
  }
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
  std::vector<int64_t> order;
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
          order.push_back(base + (top + cell / columns) * width + left + cell % columns);
        }
        windows.lengths.push_back(rows * columns * unit);
      }
    }
  }
  windows.order = at::tensor(order, at::kLong);
  return windows;
}

Tower::Tower(const VisionConfig& config, WeightLoader& weights) : config_(config) {
  const std::string root =
      weights.find_prefix({"visual.", "model.visual."}, "patch_embed.proj.weight");
  const int64_t hidden = config.hidden_size, patch = config.patch_size;
  const int64_t merged = hidden * config.merge_size * config.merge_size;
  patch_embed_ =
      weights.take(root + "patch_embed.proj.weight",
                   {hidden, config.in_channels, config.temporal_patch_size, patch, patch},
                   kVision);
  for (int64_t i = 0; i < config.depth; ++i) {
    const std::string prefix = core::str(root, "blocks.", i, ".");
    Block block;
    block.norm1 = weights.take(prefix + "norm1.weight", {hidden}, kVision);
    block.norm2 = weights.take(prefix + "norm2.weight", {hidden}, kVision);
    block.qkv = take_linear(weights, prefix + "attn.qkv", hidden, 3 * hidden, true, kVision);
    block.proj = take_linear(weights, prefix + "attn.proj", hidden, hidden, true, kVision);
    block.gate_up =
        take_linear_stack(weights,
                          {.prefix = prefix + "mlp.",
                           .names = {"gate_proj", "up_proj"},
                           .sizes = {config.intermediate_size, config.intermediate_size},
                           .has_bias = true},
                          hidden,
                          kVision);
    block.down_proj = take_linear(
        weights, prefix + "mlp.down_proj", config.intermediate_size, hidden, true, kVision);
    blocks_.push_back(std::move(block));
  }
  merger_norm_ = weights.take(root + "merger.ln_q.weight", {hidden}, kMerger);
  merger_in_ = take_linear(weights, root + "merger.mlp.0", merged, merged, true, kMerger);
  merger_out_ =
      take_linear(weights, root + "merger.mlp.2", merged, config.out_hidden_size, true, kMerger);
}

Rotary Tower::rotary(const at::Tensor& grid_thw, const at::Tensor& order) const {
  const int64_t head_dim = config_.hidden_size / config_.num_heads,
                unit = config_.merge_size * config_.merge_size;
  const at::Tensor positions =
      patch_positions(grid_thw, config_.merge_size).to(at::kFloat);               // [N, 2]
  const at::Tensor frequencies = inverse_frequencies(head_dim / 2, kRotaryBase);  // [E/4]
  const at::Tensor angles =
      (positions.unsqueeze(2) * frequencies).reshape({-1, head_dim / 2});  // rows, then columns
  const at::Tensor moved =
      angles.view({-1, unit, head_dim / 2}).index_select(0, order).view({-1, head_dim / 2});
  const at::Tensor here = moved.to(patch_embed_.device());
  return {here.cos(), here.sin()};
}

at::Tensor Tower::run_block(const Block& block,
                            at::Tensor hidden,
                            const Rotary& angles,
                            const SegmentTable& segments) const {
  const int64_t patches = hidden.size(0), head_dim = config_.hidden_size / config_.num_heads;
  const at::Tensor qkv = block.qkv(ops::rms_norm(hidden, block.norm1, kNormEps))
                             .view({patches, 3, config_.num_heads, head_dim});
  const at::Tensor q = ops::rotate(qkv.select(1, 0), angles.cos, angles.sin);  // [N, H, E]
  const at::Tensor k = ops::rotate(qkv.select(1, 1), angles.cos, angles.sin);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor out =
      ops::segment_attention(q, k, qkv.select(1, 2), segments.rows, scale, /*causal=*/false);
  hidden = hidden + block.proj(out.reshape({patches, config_.hidden_size}));
  const auto gate_up = block.gate_up(ops::rms_norm(hidden, block.norm2, kNormEps));
  return hidden + block.down_proj(ops::swiglu(gate_up[0], gate_up[1]));
}

VisionFeatures Tower::encode(const at::Tensor& pixel_values, const at::Tensor& grid_thw) const {
  TORCH_CHECK_VALUE(pixel_values.dim() == 2 && pixel_values.size(1) == config_.patch_dim(),
                    "pixel_values has shape ",
                    pixel_values.sizes(),
                    ", the vision config takes [N, ",
                    config_.patch_dim(),
                    "]");
  const int64_t unit = config_.merge_size * config_.merge_size, hidden_size = config_.hidden_size;
  const Windows windows = window_order(grid_thw, config_);
  const at::Tensor order = windows.order.to(patch_embed_.device());
  // A convolution whose stride is its kernel is a matrix product over flattened patches.
  at::Tensor hidden =
      at::linear(pixel_values.to(patch_embed_.scalar_type()), patch_embed_.flatten(1));
  hidden = hidden.view({-1, unit, hidden_size}).index_select(0, order).view({-1, hidden_size});
  const Rotary angles = rotary(grid_thw, windows.order);
  const SegmentTable in_window = segments_of_lengths(windows.lengths),
                     in_frame = frame_segments(grid_thw);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const bool is_full = config_.full_attention_blocks.count(static_cast<int64_t>(i)) != 0;
    hidden = run_block(blocks_[i], hidden, angles, is_full ? in_frame : in_window);
  }
  const at::Tensor merged =
      ops::rms_norm(hidden, merger_norm_, kNormEps).view({-1, unit * hidden_size});
  const at::Tensor features = merger_out_(at::gelu(merger_in_(merged)));
  return {.tokens = features.index_select(0, at::argsort(order)), .deepstack = {}};
}

}  // namespace sgrpo::model::qwen2_5_vl
