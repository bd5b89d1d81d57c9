#include "model/vit.h"

#include <ATen/ATen.h>

#include <cmath>

#include "sgrpo/core/json.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::model {
namespace {

constexpr double kRotaryBase = 10000.0;

}  // namespace

std::string vision_place(const std::string& file) { return file + " (vision_config)"; }

void check_vision_width(const std::string& where,
                        const std::string& what,
                        int64_t width,
                        int64_t factor) {
  if (width * factor <= kMaxVisionWidth) return;
  throw core::UserError(core::str(
      where, ": ", what, " is ", width, " x ", factor, ", expected at most ", kMaxVisionWidth));
}

VitConfig read_vit_config(const core::Json& vision, const std::string& where, const VitKeys& keys) {
  const auto width = [&](const char* key) {
    return core::get_int(vision, key, where, 1, kMaxVisionWidth);
  };
  const auto size_or = [&](const char* key, int64_t fallback, int64_t high) {
    return core::get_int_or(vision, key, fallback, where, 1, high);
  };
  VitConfig result;
  result.depth = core::get_int(vision, "depth", where, 1, kMaxVisionDepth);
  result.hidden_size = width(keys.hidden_size);
  result.num_heads = width("num_heads");
  result.out_hidden_size = width(keys.out_hidden_size);
  const int64_t channels = size_or("in_chans", 3, kMaxVisionChannels);
  result.in_channels = size_or("in_channels", channels, kMaxVisionChannels);
  result.patch_size = size_or("patch_size", keys.patch_size, kMaxVisionEdge);
  result.temporal_patch_size = size_or("temporal_patch_size", 2, kMaxVisionEdge);
  result.merge_size = size_or("spatial_merge_size", 2, kMaxVisionEdge);
  check_vision_width(where,
                     core::str(keys.hidden_size, " x spatial_merge_size^2"),
                     result.hidden_size,
                     result.merge_unit());
  const std::string activation = core::get_string_or(vision, "hidden_act", keys.activation, where);
  if (activation != keys.activation) {
    throw core::UserError(
        core::str(where, ": hidden_act is '", activation, "', expected ", keys.activation));
  }
  if (result.hidden_size % result.num_heads != 0 || result.head_dim() % 4 != 0) {
    throw core::UserError(
        core::str(where,
                  ": ",
                  keys.hidden_size,
                  " ",
                  result.hidden_size,
                  " / num_heads ",
                  result.num_heads,
                  " must be a multiple of 4 (rows and columns each turn half of a head)"));
  }
  return result;
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, kVisionNormEps);
}

LayerNorm take_layer_norm(WeightLoader& weights,
                          const std::string& name,
                          int64_t size,
                          const Place& place) {
  LayerNorm norm;
  norm.weight = weights.take(name + ".weight", {size}, place);
  norm.bias = weights.take(name + ".bias", {size}, place);
  return norm;
}

at::Tensor PatchEmbed::operator()(const at::Tensor& pixel_values) const {
  const at::Tensor matrix = weight.flatten(1);
  TORCH_CHECK_VALUE(pixel_values.dim() == 2 && pixel_values.size(1) == matrix.size(1),
                    "pixel_values has shape ",
                    pixel_values.sizes(),
                    ", the vision config takes [N, ",
                    matrix.size(1),
                    "]");
  return at::linear(pixel_values.to(weight.scalar_type()), matrix, bias);
}

PatchEmbed take_patch_embed(WeightLoader& weights,
                            const std::string& root,
                            const VitConfig& config,
                            bool has_bias) {
  const std::string name = root + "patch_embed.proj";
  const int64_t patch = config.patch_size, hidden = config.hidden_size;
  PatchEmbed embed;
  embed.weight =
      weights.take(name + ".weight",
                   {hidden, config.in_channels, config.temporal_patch_size, patch, patch},
                   kTowerPlace);
  if (has_bias) embed.bias = weights.take(name + ".bias", {hidden}, kTowerPlace);
  return embed;
}

Rotary vision_rotary(const at::Tensor& positions, int64_t head_dim, at::Device device) {
  const at::Tensor frequencies = inverse_frequencies(head_dim / 2, kRotaryBase);  // [E/4]
  const at::Tensor angles =
      (positions.to(at::kFloat).unsqueeze(2) * frequencies).reshape({-1, head_dim / 2}).to(device);
  return {angles.cos(), angles.sin()};
}

at::Tensor VitAttention::operator()(const at::Tensor& x,
                                    const Rotary& angles,
                                    const ops::AttentionPlan& plan) const {
  const int64_t patches = x.size(0), hidden = x.size(1), head_dim = hidden / num_heads;
  const at::Tensor parts = qkv(x).view({patches, 3, num_heads, head_dim});
  const at::Tensor q = ops::rotate(parts.select(1, 0), angles.cos, angles.sin);  // [N, H, E]
  const at::Tensor k = ops::rotate(parts.select(1, 1), angles.cos, angles.sin);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor out = ops::segment_attention(q, k, parts.select(1, 2), plan, scale);
  return proj(out.reshape({patches, hidden}));
}

VitAttention take_vit_attention(WeightLoader& weights,
                                const std::string& prefix,
                                const VitConfig& config,
                                int64_t block) {
  const Place inside = {Role::kTower, block}, end = {Role::kTower, block, true};
  const int64_t hidden = config.hidden_size;
  VitAttention attention;
  attention.qkv = take_linear(weights, prefix + "qkv", hidden, 3 * hidden, true, inside);
  attention.proj = take_linear(weights, prefix + "proj", hidden, hidden, true, end);
  attention.num_heads = config.num_heads;
  return attention;
}

at::Tensor quick_gelu(const at::Tensor& x) { return x * at::sigmoid(1.702 * x); }

at::Tensor tanh_gelu(const at::Tensor& x) { return at::gelu(x, "tanh"); }

at::Tensor VitBlock::operator()(const at::Tensor& hidden,
                                const Rotary& angles,
                                const ops::AttentionPlan& plan) const {
  const at::Tensor attended = hidden + attention(norm1(hidden), angles, plan);
  return attended + fc2(activation(fc1(norm2(attended))));
}

std::vector<VitBlock> take_vit_blocks(WeightLoader& weights,
                                      const std::string& root,
                                      const VitConfig& config,
                                      const VitMlpSpec& mlp) {
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  std::vector<VitBlock> blocks;
  for (int64_t i = 0; i < config.depth; ++i) {
    const std::string prefix = core::str(root, "blocks.", i, ".");
    const Place inside = {Role::kTower, i}, end = {Role::kTower, i, true};
    VitBlock block;
    block.norm1 = take_layer_norm(weights, prefix + "norm1", hidden, inside);
    block.norm2 = take_layer_norm(weights, prefix + "norm2", hidden, inside);
    block.attention = take_vit_attention(weights, prefix + "attn.", config, i);
    block.fc1 = take_linear(weights, prefix + "mlp." + mlp.fc1, hidden, inner, true, inside);
    block.fc2 = take_linear(weights, prefix + "mlp." + mlp.fc2, inner, hidden, true, end);
    block.activation = mlp.activation;
    blocks.push_back(std::move(block));
  }
  return blocks;
}

at::Tensor Merger::operator()(const at::Tensor& hidden) const {
  const at::Tensor x =
      norms_merged ? norm(hidden.view({-1, merged_size})) : norm(hidden).view({-1, merged_size});
  return out(at::gelu(in(x)));
}

Merger take_merger(WeightLoader& weights,
                   const std::string& prefix,
                   const VitConfig& config,
                   const MergerSpec& spec) {
  const int64_t merged = config.merged_size();
  Merger merger;
  merger.norm = take_layer_norm(
      weights, prefix + spec.norm, spec.norms_merged ? merged : config.hidden_size, kMergerPlace);
  merger.in = take_linear(weights, prefix + spec.in, merged, merged, true, kMergerPlace);
  merger.out =
      take_linear(weights, prefix + spec.out, merged, config.out_hidden_size, true, kMergerPlace);
  merger.merged_size = merged;
  merger.norms_merged = spec.norms_merged;
  return merger;
}

}  // namespace sgrpo::model
