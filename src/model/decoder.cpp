#include "model/decoder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "sgrpo/ops/ops.h"

namespace sgrpo::model {
namespace {

/// Which position row (0 temporal, 1 height, 2 width) turns each of the E/2 frequencies.
at::Tensor section_rows(const DecoderConfig& config) {
  const int64_t half = config.head_dim / 2;
  std::vector<int64_t> rows(static_cast<size_t>(half), 0);
  if (config.mrope_section.empty()) return at::tensor(rows, at::kLong);
  if (!config.mrope_interleaved) {
    size_t next = 0;
    for (size_t part = 0; part < config.mrope_section.size(); ++part) {
      for (int64_t i = 0; i < config.mrope_section[part]; ++i)
        rows[next++] = static_cast<int64_t>(part % 3);
    }
    return at::tensor(rows, at::kLong);
  }
  for (int64_t part = 1; part < 3;
       ++part) {  // H at 1, 4, 7, ..., W at 2, 5, 8, ..., up to three times the section
    const int64_t end = std::min(half, 3 * config.mrope_section[static_cast<size_t>(part)]);
    for (int64_t i = part; i < end; i += 3) rows[static_cast<size_t>(i)] = part;
  }
  return at::tensor(rows, at::kLong);
}

/// What the output matrix is called beside tensors that begin with `root`.
std::string head_name(const WeightLoader& weights, const std::string& root) {
  const std::string nested = "language_model.lm_head.weight";
  return root == "language_model.model." && weights.has(nested) ? nested : "lm_head.weight";
}

}  // namespace

Decoder::Decoder(const DecoderConfig& config, WeightLoader& weights) : config_(config) {
  const std::string root = weights.find_root(config.root, "norm.weight");
  const std::string head = head_name(weights, root);
  // A tied pair may be written under either name.
  const bool has_head_only =
      config.is_tied && weights.has(head) && !weights.has(root + "embed_tokens.weight");
  const std::string embedding = has_head_only ? head : root + "embed_tokens.weight";
  const std::vector<int64_t> table = {config.vocab_size, config.hidden_size};
  embedding_ = weights.take(embedding, table, {Role::kEmbedding});
  for (int64_t i = 0; i < config.num_layers; ++i)
    layers_.push_back(take_layer(weights, core::str(root, "layers.", i, "."), i));
  norm_ = weights.take(root + "norm.weight", {config.hidden_size}, {Role::kNorm});
  const bool has_head = weights.has(head) && !has_head_only;
  config_.is_tied = config.is_tied && (!has_head || weights.take_copy(head, embedding, embedding_));
  if (config.is_tied && !config_.is_tied) {
    weights.remark(
        core::str("config.json ties the output layer to the embedding (tie_word_embeddings), but ",
                  head,
                  " differs from ",
                  embedding,
                  ": both are used, as transformers does"));
  }
  head_ = config_.is_tied ? embedding_ : weights.take(head, table, {Role::kHead});
  inverse_frequency_ =
      inverse_frequencies(config.head_dim, config.rope_theta).to(embedding_.device());
  section_ = section_rows(config).to(embedding_.device());
}

Decoder::Layer Decoder::take_layer(WeightLoader& weights,
                                   const std::string& prefix,
                                   int64_t index) const {
  const Place inside = {Role::kDecoder, index}, end = {Role::kDecoder, index, true};
  const int64_t hidden = config_.hidden_size, inner = config_.intermediate_size;
  const int64_t head = config_.head_dim, q = config_.num_heads * head;
  const int64_t kv = config_.num_kv_heads * head;
  Layer layer;
  layer.input_norm = weights.take(prefix + "input_layernorm.weight", {hidden}, inside);
  layer.qkv = take_linear_stack(weights,
                                {.prefix = prefix + "self_attn.",
                                 .names = {"q_proj", "k_proj", "v_proj"},
                                 .sizes = {q, kv, kv},
                                 .has_bias = config_.has_qkv_bias},
                                hidden,
                                inside);
  if (config_.has_qk_norm) {
    layer.q_norm = weights.take(prefix + "self_attn.q_norm.weight", {head}, inside);
    layer.k_norm = weights.take(prefix + "self_attn.k_norm.weight", {head}, inside);
  }
  layer.o_proj =
      take_linear(weights, prefix + "self_attn.o_proj", q, hidden, config_.has_output_bias, end);
  layer.post_attention_norm =
      weights.take(prefix + "post_attention_layernorm.weight", {hidden}, inside);
  layer.gate_up = take_linear_stack(
      weights,
      {.prefix = prefix + "mlp.", .names = {"gate_proj", "up_proj"}, .sizes = {inner, inner}},
      hidden,
      inside);
  layer.down_proj = take_linear(weights, prefix + "mlp.down_proj", inner, hidden, false, end);
  return layer;
}

at::Tensor Decoder::embed(const at::Tensor& token_ids) const {
  return ops::embed(embedding_, token_ids);
}

Rotary Decoder::rotary(const at::Tensor& position_ids) const {
  // [3, T] -> [T, E/2]: every frequency reads its own position row.
  const at::Tensor positions =
      position_ids.index_select(0, section_).t().contiguous().to(at::kFloat);
  const at::Tensor angles = positions * inverse_frequency_;
  return {angles.cos(), angles.sin()};
}

at::Tensor Decoder::attention(const Layer& layer,
                              size_t index,
                              const at::Tensor& x,
                              const Rotary& angles,
                              const ops::AttentionPlan& plan,
                              const CacheView& view) const {
  const int64_t tokens = x.size(0), head_dim = config_.head_dim;
  const auto parts = layer.qkv(x);
  at::Tensor q = parts[0].view({tokens, config_.num_heads, head_dim});
  at::Tensor k = parts[1].view({tokens, config_.num_kv_heads, head_dim});
  at::Tensor v = parts[2].view({tokens, config_.num_kv_heads, head_dim});
  if (config_.has_qk_norm) {
    q = ops::rms_norm(q, layer.q_norm, config_.rms_norm_eps);
    k = ops::rms_norm(k, layer.k_norm, config_.rms_norm_eps);
  }
  q = ops::rotate(q, angles.cos, angles.sin);
  k = ops::rotate(k, angles.cos, angles.sin);
  if (view.cache != nullptr) {
    k = view.cache->keys[index].index_copy_(0, view.slots, k);
    v = view.cache->values[index].index_copy_(0, view.slots, v);
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor out = ops::segment_attention(q, k, v, plan, scale);
  return layer.o_proj(out.view({tokens, config_.num_heads * head_dim}));
}

at::Tensor Decoder::run(at::Tensor hidden,
                        const at::Tensor& position_ids,
                        const ops::AttentionPlan& plan,
                        const CacheView& cache,
                        const AfterLayer& after_layer) const {
  const Rotary angles = rotary(position_ids);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor x = ops::rms_norm(hidden, layer.input_norm, config_.rms_norm_eps);
    hidden = hidden + attention(layer, i, x, angles, plan, cache);
    const auto gate_up =
        layer.gate_up(ops::rms_norm(hidden, layer.post_attention_norm, config_.rms_norm_eps));
    hidden = hidden + layer.down_proj(ops::swiglu(gate_up[0], gate_up[1]));
    if (after_layer) hidden = after_layer(static_cast<int64_t>(i), hidden);
  }
  return ops::rms_norm(hidden, norm_, config_.rms_norm_eps);
}

}  // namespace sgrpo::model
