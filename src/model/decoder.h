// The language model of all families: what they share, written once; differences are fields of
// DecoderConfig.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/layers.h"

namespace sgrpo::model {

/// A text configuration, from the top level of config.json (hub) or its text_config (as
/// transformers 5 writes it).
struct DecoderConfig {
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t num_layers = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t max_positions = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  // Frequencies of each part; part i turns by position row i mod 3. Empty: one position row.
  std::vector<int64_t> mrope_section;
  bool mrope_interleaved = false;  // Qwen3-VL
  bool has_qkv_bias = false;       // Qwen2, 2.5
  bool has_output_bias = false;    // o_proj; Qwen3 with attention_bias
  bool has_qk_norm = false;        // Qwen3: RMSNorm per head before the rotation
  bool is_tied = false;
  // The last two names are what base classes (Qwen2_5_VLModel, Qwen2Model) write.
  Root root = {{"model.", "model.language_model.", "language_model.model.", "language_model.", ""},
               "model."};
};

/// What transformers' configuration class of a family takes for keys that config.json leaves out.
struct DecoderDefaults {
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
};

/// Reads the fields above; biases, `has_qk_norm`, `mrope_*` and `root` are the family's to set.
/// Throws core::UserError naming file and key: missing, out of range, unsupported
/// activation, rope type or sliding window.
DecoderConfig read_decoder_config(const core::Json& config,
                                  const std::string& where,
                                  const DecoderDefaults& defaults = {});

/// The settings that Qwen3 adds, text-only or not: norms of heads, and biases if attention_bias.
void read_qwen3_attention(const core::Json& config,
                          const std::string& where,
                          DecoderConfig& result);

/// Reads mrope_section: the share of the frequencies that each row of positions turns. Throws
/// core::UserError if there is none, if it does not fit the heads, or if the order of shares is
/// another than `result` says. Text models have none, whatever their config.json keeps.
void read_mrope(const core::Json& config, const std::string& where, DecoderConfig& result);

/// Embedding, layers, final norm and output matrix.
class Decoder {
 public:
  Decoder(const DecoderConfig& config, WeightLoader& weights);

  /// Token embeddings [T, D].
  at::Tensor embed(const at::Tensor& token_ids) const;

  /// Where keys and values of the rows go and come from; none in training.
  struct CacheView {
    KvCache* cache = nullptr;
    at::Tensor slots;  // [T] i64
  };
  /// Called with the hidden states after each layer; may return them changed (deepstack).
  using AfterLayer = std::function<at::Tensor(int64_t layer, const at::Tensor& hidden)>;

  /// Hidden states after the final norm: [T, D].
  at::Tensor run(at::Tensor hidden,
                 const at::Tensor& position_ids,
                 const ops::AttentionPlan& plan,
                 const CacheView& cache,
                 const AfterLayer& after_layer) const;

  const at::Tensor& output_weight() const { return head_; }
  const DecoderConfig& config() const { return config_; }

 private:
  struct Layer {
    at::Tensor input_norm, post_attention_norm, q_norm, k_norm;
    LinearStack qkv, gate_up;
    Linear o_proj, down_proj;
  };
  Layer take_layer(WeightLoader& weights, const std::string& prefix, int64_t index) const;
  Rotary rotary(const at::Tensor& position_ids) const;
  at::Tensor attention(const Layer& layer,
                       size_t index,
                       const at::Tensor& x,
                       const Rotary& angles,
                       const ops::AttentionPlan& plan,
                       const CacheView& cache) const;

  DecoderConfig config_;
  at::Tensor embedding_, norm_, head_;
  at::Tensor inverse_frequency_;  // [E/2] f32
  at::Tensor section_;            // [E/2] i64: the position row of each frequency
  std::vector<Layer> layers_;
};

}  // namespace sgrpo::model
