// What the vision towers share: sizes, patch embedding, rotary angles, attention, and the
// LayerNorm blocks and mergers of Qwen2-VL and Qwen3-VL.
#pragma once

#include <string>

#include "model/layers.h"
#include "model/vision.h"

namespace sgrpo::model {

/// The places of weights outside the tower's blocks, and in its mergers.
inline constexpr Place kTowerPlace = {Role::kTower};
inline constexpr Place kMergerPlace = {Role::kMerger};
/// The names of a tower's tensors in all generations; new checkpoints of most families take the
/// first.
inline const Root kTowerRoot = {{"visual.", "model.visual."}, "model.visual."};
/// Far above every published tower; what is larger is damage, and its products would overflow:
/// edges of patches and windows, layers; channels; widths and rows of tables.
inline constexpr int64_t kMaxVisionEdge = 1024, kMaxVisionDepth = 1024, kMaxVisionChannels = 16;
inline constexpr int64_t kMaxVisionWidth = int64_t{1} << 24;
/// The epsilon of every norm in a tower, whatever config.json says about the text.
inline constexpr double kVisionNormEps = 1e-6;

/// Sizes that every tower has.
struct VitConfig {
  int64_t depth = 0, hidden_size = 0, intermediate_size = 0, num_heads = 0, out_hidden_size = 0;
  int64_t in_channels = 3, patch_size = 14, temporal_patch_size = 2, merge_size = 2;

  int64_t patch_dim() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
  int64_t head_dim() const { return hidden_size / num_heads; }
  int64_t merge_unit() const { return merge_size * merge_size; }
  int64_t merged_size() const { return hidden_size * merge_unit(); }
};

/// Under which keys a family keeps its widths, and what it takes for granted.
struct VitKeys {
  const char* hidden_size = "hidden_size";
  const char* out_hidden_size = "out_hidden_size";
  int64_t patch_size = 14;
  const char* activation = "silu";
};
/// Reads all but intermediate_size, which is the family's. `vision` is vision_config, `where` its
/// place. Throws core::UserError naming file and key.
VitConfig read_vit_config(const core::Json& vision, const std::string& where, const VitKeys& keys);
/// Throws core::UserError unless width * factor <= kMaxVisionWidth; `what` names the product's
/// keys.
void check_vision_width(const std::string& where,
                        const std::string& what,
                        int64_t width,
                        int64_t factor);
/// The place of vision_config, for messages.
std::string vision_place(const std::string& file);

/// Norm over the last dimension, with mean and bias.
struct LayerNorm {
  at::Tensor weight, bias;
  at::Tensor operator()(const at::Tensor& x) const;
};
LayerNorm take_layer_norm(WeightLoader& weights,
                          const std::string& name,
                          int64_t size,
                          const Place& place);

/// The convolution of patches; its stride is its kernel, so it is a matrix product.
struct PatchEmbed {
  at::Tensor weight, bias;  // [hidden, channels, temporal, patch, patch], [hidden] or undefined
  /// [N, D_patch] -> [N, hidden]
  at::Tensor operator()(const at::Tensor& pixel_values) const;
};
PatchEmbed take_patch_embed(WeightLoader& weights,
                            const std::string& root,
                            const VitConfig& config,
                            bool has_bias);

/// Angles of patches: the first quarter of a head turns by the row, the second by the column.
/// Shapes: positions [N, 2] i64 -> [N, E/2] on `device`.
Rotary vision_rotary(const at::Tensor& positions, int64_t head_dim, at::Device device);

/// Attention among the patches of a segment.
struct VitAttention {
  Linear qkv, proj;
  int64_t num_heads = 0;
  at::Tensor operator()(const at::Tensor& x,
                        const Rotary& angles,
                        const ops::AttentionPlan& plan) const;
};
VitAttention take_vit_attention(WeightLoader& weights,
                                const std::string& prefix,
                                const VitConfig& config,
                                int64_t block);

/// x sigmoid(1.702 x)
at::Tensor quick_gelu(const at::Tensor& x);
/// GELU by its tanh approximation.
at::Tensor tanh_gelu(const at::Tensor& x);

/// LayerNorm, attention, LayerNorm, two linear layers.
struct VitBlock {
  LayerNorm norm1, norm2;
  VitAttention attention;
  Linear fc1, fc2;
  at::Tensor (*activation)(const at::Tensor&) = nullptr;
  at::Tensor operator()(const at::Tensor& hidden,
                        const Rotary& angles,
                        const ops::AttentionPlan& plan) const;
};
/// How a family calls the linear layers and what stands between them.
struct VitMlpSpec {
  std::string fc1, fc2;
  at::Tensor (*activation)(const at::Tensor&) = nullptr;
};
std::vector<VitBlock> take_vit_blocks(WeightLoader& weights,
                                      const std::string& root,
                                      const VitConfig& config,
                                      const VitMlpSpec& mlp);

/// merge x merge patches -> one image token.
struct Merger {
  LayerNorm norm;
  Linear in, out;
  int64_t merged_size = 0;
  bool norms_merged = false;  // norm behind the join of patches instead of before
  at::Tensor operator()(const at::Tensor& hidden) const;
};
struct MergerSpec {
  std::string norm, in, out;  // names of the parts
  bool norms_merged = false;
};
Merger take_merger(WeightLoader& weights,
                   const std::string& prefix,
                   const VitConfig& config,
                   const MergerSpec& spec);

}  // namespace sgrpo::model
