// A policy: packed tokens and pixels -> hidden states -> log-probs. One interface for training,
// scoring and sampling.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/core/json.h"
#include "sgrpo/core/registry.h"
#include "sgrpo/model/layout.h"
#include "sgrpo/model/options.h"
#include "sgrpo/model/packed_tokens.h"

namespace sgrpo::model {

/// One parameter under its checkpoint name.
struct Parameter {
  std::string name;  // as in the checkpoint file
  Module module = Module::kLanguage;
  at::Tensor tensor;  // leaf
};

/// Low-rank additions to linear layers, which train instead of the weights. Without `model.lora`
/// and without a saved adapter it has no parameters.
struct Adapter {
  int64_t rank = 0;
  double alpha = 0.0;
  bool is_rank_stabilized = false;          // scale alpha / sqrt(rank) instead of alpha / rank
  std::vector<std::string> target_modules;  // ends of paths that match the adapted layers alone
  std::vector<Parameter> parameters;        // f32, under PEFT's names: lora_A and lora_B in turn
};

/// Facts about a checkpoint that other rooms need.
struct ModelSpec {
  std::string model_type;
  int64_t vocab_size = 0;  // embedding rows
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 0;
  bool has_vision = false;
  int64_t image_token_id = -1;
  int64_t video_token_id = -1;
  int64_t merge_size = 2;
  int64_t patch_size = 14;
  int64_t temporal_patch_size = 2;
  /// Tensors of a loaded checkpoint that repeat a parameter (a tied head written out): its name.
  /// They are no parameters, and must be saved with the parameter's value.
  std::map<std::string, std::string> copies;
  /// What is unusual about a loaded checkpoint, for whoever opens it to say: left-over settings,
  /// tensors that nothing uses.
  std::vector<std::string> remarks;
};

/// Keys and values of everything the decoder has seen, one preallocated buffer per layer.
struct KvCache {
  std::vector<at::Tensor> keys;    // per layer [slots, K, E]
  std::vector<at::Tensor> values;  // per layer [slots, K, E]
  int64_t num_slots = 0;
};

/// A loaded policy.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;
  /// Every parameter exactly once (a tied head is the embedding), in checkpoint order.
  virtual const std::vector<Parameter>& parameters() const = 0;
  /// The adapter; where it has parameters, only these train.
  virtual const Adapter& adapter() const = 0;

  /// Hidden states after the final norm, with gradient unless under NoGradGuard: [T, D].
  virtual at::Tensor forward(const PackedTokens& input) const = 0;

  /// The matrix that turns hidden states into logits: [V, D].
  virtual at::Tensor output_weight() const = 0;

  /// An empty cache of `num_slots` token slots.
  virtual KvCache make_cache(int64_t num_slots) const = 0;

  /// As forward, without gradient, writing keys and values of row t of `input` to slot `slots[t]`
  /// and attending as `input.plan` says, whose keys are slots of the cache. Serves prefill (with
  /// pixels) and decoding.
  virtual at::Tensor forward_cached(const PackedTokens& input,
                                    const at::Tensor& slots,
                                    KvCache& cache) const = 0;

  /// Seconds that passes without gradient (sampling, scoring) have spent in the vision tower.
  virtual double vision_seconds() const { return 0.0; }

  at::Device device() const { return parameters().front().tensor.device(); }

  /// Warns, once a model, where `positions` are more than it has (max_position_embeddings): it
  /// computes them all the same.
  void expect_positions(int64_t positions) const;

 private:
  mutable bool has_warned_ = false;
};

/// Where a model lies, and of which type its weights are.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

/// Reads one tensor of a checkpoint by name.
using TensorReader = std::function<at::Tensor(const std::string& name)>;

/// A saved adapter.
struct AdapterSource {
  std::string where;  // path of the adapter's folder, for messages
  int64_t rank = 0;
  double alpha = 0.0;
  bool is_rank_stabilized = false;
  std::vector<std::string> names;  // as in the file
  TensorReader read;
};

/// What a family needs to build itself.
struct ModelSource {
  core::Json config;               // config.json
  std::string where;               // path of config.json, for messages
  std::vector<std::string> names;  // tensor names of the checkpoint, in order
  TensorReader read;               // throws checkpoint errors
  std::optional<AdapterSource> adapter = std::nullopt;
  Placement placement = {};  // whoever opens a model says where it goes
};

/// What a model with some configuration consists of.
struct ModelLayout {
  std::vector<Weight> weights;  // in writing order
  Adapter adapter;              // saved or new, tensors on the meta device
  /// Weights that a saved adapter changes, and its two tensors' names in its file.
  std::map<std::string, std::pair<std::string, std::string>> merges;
};

/// A family: builds a model from a source; and lists tensor names and shapes for `init`.
struct Family {
  std::unique_ptr<Model> (*load)(const ModelSource& source, const ModelOptions& options);
  ModelSpec (*spec)(const core::Json& config, const std::string& where);
  /// Every tensor of a checkpoint with this configuration, and the adapter. Reads no weights;
  /// `names` may be empty (a new checkpoint).
  ModelLayout (*layout)(const ModelSource& source, const ModelOptions& options);
};
using FamilyFactory = Family (*)();
struct FamilyTag {};
using FamilyRegistry = core::Registry<FamilyFactory, FamilyTag>;

/// Loads by config.json's model_type. Throws core::UserError: unknown architecture (known ones
/// listed), quantised checkpoints by name, tensors missing or of the wrong shape (file, tensor,
/// found, expected). Tensors that the architecture does not use become a remark of the spec.
std::unique_ptr<Model> load_model(const ModelSource& source, const ModelOptions& options);

/// Facts of config.json alone (no weights read).
ModelSpec read_spec(const core::Json& config, const std::string& where);

/// Every tensor of a checkpoint with this configuration, and the adapter that `options` give it.
/// Reads no weights. Throws as load_model for what names and config.json alone tell.
ModelLayout read_layout(const ModelSource& source, const ModelOptions& options = {});
/// Every tensor of a new checkpoint, in writing order.
std::vector<Weight> read_layout(const core::Json& config, const std::string& where);

/// Parameters that train: the adapter's where there is one, else the weights of all modules that
/// are not frozen.
std::vector<Parameter> trainable_parameters(const Model& model);

/// Reads tensors of a checkpoint with the saved adapter's part added: weight + scale B A, in f32;
/// undefined if the adapter does not touch the tensor. Throws core::UserError now, before anything
/// is read or written, for an adapter that load_model would refuse.
TensorReader merge_adapter(const ModelSource& source);

}  // namespace sgrpo::model

#define SGRPO_REGISTER_MODEL(name, function)       \
  static const bool registered_family_##function = \
      ::sgrpo::model::FamilyRegistry::add(name, function)
