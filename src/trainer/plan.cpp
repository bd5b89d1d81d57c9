#include "sgrpo/trainer/plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <map>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/image/processor.h"
#include "sgrpo/model/model.h"
#include "sgrpo/policy/placement.h"
#include "sgrpo/policy/policy.h"
#include "trainer/demonstrations.h"
#include "trainer/frozen.h"
#include "trainer/retention.h"

namespace sgrpo::trainer {
namespace {

using core::str;
using model::Module;

constexpr uint64_t kF32 = 4;
/// The output layer keeps logits up to this size and recomputes larger ones in chunks
/// (ops/autograd/linear_logprob.cpp).
constexpr uint64_t kKeptLogitBytes = uint64_t{64} << 20;

uint64_t to_unsigned(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(value, 0)); }

/// What the layers of one module keep for the backward pass, in values a token, and the most that
/// one of them holds without gradient.
struct LayerWidth {
  uint64_t kept = 0;
  uint64_t widest = 0;
};

/// Of every matrix of a layer the results are kept, of the two that end a block (whose results join
/// the residual stream, itself an input of the norms) also the inputs, and the normalised inputs of
/// both blocks: 4 D + (H + 2 K) E + H E + 3 I for a decoder layer.
LayerWidth layer_width(const std::vector<model::Weight>& weights, Module module) {
  LayerWidth width;
  std::map<int64_t, uint64_t> of_block;
  for (const model::Weight& weight : weights) {
    const auto& [role, block, joins_residual] = weight.place;
    if (block < 0 || weight.shape.size() != 2 || model::module_of(role) != module) continue;
    const uint64_t out = to_unsigned(weight.shape[0]), in = to_unsigned(weight.shape[1]);
    of_block[block] += joins_residual ? 2 * out + in : out;
  }
  for (const auto& [block, values] : of_block) {
    width.kept += values;
    width.widest = std::max(width.widest, values);
  }
  return width;
}

/// Collects the parts of one run.
class Planner {
 public:
  explicit Planner(const RunConfig& config)
      : config_(config),
        folder_(config.model.path, checkpoint::Digits::kRounded),
        placement_(policy::expected_placement(config.model)),
        width_(at::elementSize(placement_.dtype)) {
    core::info("opened ", folder_.describe());
    const std::string where = folder_.config_path();
    spec_ = model::read_spec(folder_.config(), where);
    layout_ = model::read_layout(
        {.config = folder_.config(), .where = where, .names = folder_.names(), .read = {}},
        config.model);
    prompt_tokens_ = std::min(config.data.max_prompt_tokens, spec_.max_positions);
    read_images();
  }

  MemoryPlan plan() {
    add_parameters();
    add_prompts();
    if (!config_.rollout.replay) add_rollout();
    add_update();
    plan_.device = c10::DeviceTypeName(placement_.device.type(), /*lower_case=*/true);
    plan_.dtype = policy::dtype_name(placement_);
    return std::move(plan_);
  }

 private:
  void add(const std::string& name, Phase phase, uint64_t bytes, const std::string& formula) {
    if (bytes > 0) plan_.parts.push_back({name, phase, bytes, formula});
  }

  bool has_adapter() const { return !layout_.adapter.parameters.empty(); }

  /// Whether anything in the module trains: its weights, or adapters of its layers.
  bool learns(Module module) const {
    const auto& frozen = config_.model.freeze;
    if (!has_adapter()) return std::find(frozen.begin(), frozen.end(), module) == frozen.end();
    const auto& layers = layout_.adapter.parameters;
    return std::any_of(layers.begin(), layers.end(), [&](const model::Parameter& parameter) {
      return parameter.module == module;
    });
  }

  /// One image of the largest size in every prompt.
  void read_images() {
    if (!spec_.has_vision) return;
    const auto processor = image::load_processor(folder_.folder());
    if (!processor) return;
    const int64_t side = processor->patch_size * processor->merge_size;
    const int64_t pixels = config_.data.max_pixels.value_or(processor->max_pixels);
    image_tokens_ = std::min(prompt_tokens_, pixels / (side * side));
    patches_per_token_ = processor->merge_size * processor->merge_size;
    patch_dim_ = processor->patch_dim();
  }

  void add_parameters() {
    std::map<Module, int64_t, std::greater<>> counts;  // from language to vision
    for (const model::Weight& weight : layout_.weights) counts[weight.module()] += weight.size();
    for (const auto& [module, count] : counts) {
      plan_.num_parameters += count;
      if (!has_adapter() && learns(module)) plan_.num_trainable += count;
      add_values("weights: " + core::name_of(module), count, width_);
    }
    for (const model::Parameter& parameter : layout_.adapter.parameters)
      plan_.num_trainable += parameter.tensor.numel();
    if (has_adapter()) add_values("weights: adapter", plan_.num_trainable, kF32);
    const uint64_t width = has_adapter() ? kF32 : width_;  // of what trains
    add_values("gradients", plan_.num_trainable, kF32);
    add_values("AdamW moments", plan_.num_trainable, 2 * kF32);
    if (width < kF32) add_values("AdamW f32 weights", plan_.num_trainable, kF32);
    if (config_.needs_reference() && !config_.refers_to_frozen())
      add_frozen_model("reference", config_.algorithm.refers_to_start());
    for (const auto& [name, frozen] : read_frozen(config_.frozen))
      add_frozen_model("frozen " + name, frozen.begins_at_start());
  }

  /// Under an adapter, the start of the run shares the frozen weights.
  void add_frozen_model(const std::string& name, bool begins_at_start) {
    if (has_adapter() && begins_at_start) {
      add_values(name + " adapter", plan_.num_trainable, kF32);
    } else {
      add_values(name + " model", plan_.num_parameters, width_);
    }
  }

  void add_values(const std::string& name, int64_t count, uint64_t bytes_each) {
    add(name,
        Phase::kAlways,
        to_unsigned(count) * bytes_each,
        str(count, " values x ", bytes_each, " bytes"));
  }

  /// Of a step, retention rows and demonstrations included.
  int64_t num_prompts() const {
    return config_.trainer.prompts_per_step + retention_rows(config_) + demonstration_rows(config_);
  }

  /// Pixels of the step's prompts and of the next step's, which are encoded ahead.
  void add_prompts() {
    const int64_t values = image_tokens_ * patches_per_token_ * patch_dim_;
    add("prompt images",
        Phase::kAlways,
        to_unsigned(2 * num_prompts()) * to_unsigned(values) * kF32,
        str("2 steps x ",
            num_prompts(),
            " prompts x ",
            image_tokens_ * patches_per_token_,
            " patches x ",
            patch_dim_,
            " values x 4 bytes"));
  }

  void add_rollout() {
    const int64_t group = config_.rollout.group_size, longest = config_.rollout.max_new_tokens;
    const int64_t limit = policy::kMaxBatchRows;
    const int64_t prompts = std::min(num_prompts(), std::max<int64_t>(1, limit / group));
    const int64_t slots = prompts * (prompt_tokens_ + group * longest);
    const int64_t per_slot = 2 * spec_.num_layers * spec_.num_kv_heads * spec_.head_dim;
    add("KV cache",
        Phase::kRollout,
        to_unsigned(slots) * to_unsigned(per_slot) * width_,
        str(prompts,
            " prompts at a time x (",
            prompt_tokens_,
            " prompt tokens + ",
            group,
            " completions x ",
            longest,
            " tokens) x 2 x ",
            spec_.num_layers,
            " layers x ",
            spec_.num_kv_heads * spec_.head_dim,
            " values x ",
            width_,
            " bytes"));
    const uint64_t widest = layer_width(layout_.weights, Module::kLanguage).widest;
    add("prefill, one layer",
        Phase::kRollout,
        to_unsigned(prompts * prompt_tokens_) * widest * width_,
        str(prompts * prompt_tokens_, " tokens x ", widest, " values x ", width_, " bytes"));
    add("sampling logits",
        Phase::kRollout,
        to_unsigned(prompts * group) * to_unsigned(spec_.vocab_size) * (width_ + kF32),
        str(prompts * group, " rows x ", spec_.vocab_size, " ids x ", width_ + kF32, " bytes"));
  }

  /// Whole groups form a micro-batch: the budget, unless one group alone is longer.
  struct MicroBatch {
    int64_t tokens = 0, prompts = 0, loss_tokens = 0;
  };
  MicroBatch worst_micro_batch() const {
    const bool shares = config_.model.share_prefix;
    const bool appends = config_.injection.can_append();
    const int64_t members = config_.rollout.group_size + (appends ? 1 : 0);
    const int64_t copies = shares ? 1 : members;
    const int64_t group = copies * prompt_tokens_ + members * (config_.rollout.max_new_tokens - 1);
    const int64_t groups = std::max<int64_t>(
        1, config_.trainer.prompts_per_step / config_.algorithm.minibatches_per_rollout);
    const int64_t fitting =
        std::clamp<int64_t>(config_.trainer.micro_batch_tokens / group, 1, groups);
    return {.tokens = fitting * group,
            .prompts = fitting * copies,
            .loss_tokens = fitting * members * config_.rollout.max_new_tokens};
  }

  void add_update() {
    const MicroBatch batch = worst_micro_batch();
    const LayerWidth decoder = layer_width(layout_.weights, Module::kLanguage);
    const bool is_passed =
        learns(Module::kLanguage) || learns(Module::kMerger) || learns(Module::kVision);
    add_activations(
        "activations: language", batch.tokens, "tokens", is_passed ? decoder.kept : decoder.widest);
    const LayerWidth tower = layer_width(layout_.weights, Module::kVision);
    const int64_t patches = batch.prompts * image_tokens_ * patches_per_token_;
    add_activations("activations: vision",
                    patches,
                    "patches",
                    learns(Module::kVision) ? tower.kept : tower.widest);
    add_logits(batch.loss_tokens);
  }

  void add_activations(const std::string& name, int64_t rows, const char* unit, uint64_t values) {
    add(name,
        Phase::kUpdate,
        to_unsigned(rows) * values * width_,
        str(rows,
            " ",
            unit,
            " of a micro-batch x ",
            values,
            " values over all layers x ",
            width_,
            " bytes (estimate)"));
  }

  void add_logits(int64_t loss_tokens) {
    const uint64_t all = to_unsigned(loss_tokens) * to_unsigned(spec_.vocab_size) * kF32;
    const uint64_t held = std::min(all, kKeptLogitBytes);
    add("logits",
        Phase::kUpdate,
        2 * held,
        str("2 (values, gradients) x the smaller of ",
            loss_tokens,
            " loss tokens x ",
            spec_.vocab_size,
            " ids x 4 bytes and 64 MiB"));
  }

  const RunConfig& config_;
  const checkpoint::ModelFolder folder_;
  const model::Placement placement_;
  const uint64_t width_;  // bytes of one weight or activation
  model::ModelSpec spec_;
  model::ModelLayout layout_;
  int64_t prompt_tokens_ = 0, image_tokens_ = 0, patches_per_token_ = 0, patch_dim_ = 0;
  MemoryPlan plan_;
};

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kAlways: return "always";
    case Phase::kRollout: return "rollout";
    case Phase::kUpdate: return "update";
  }
  return "";
}

uint64_t MemoryPlan::bytes_of(Phase phase) const {
  uint64_t bytes = 0;
  for (const MemoryPart& part : parts) bytes += part.phase == phase ? part.bytes : 0;
  return bytes;
}

uint64_t MemoryPlan::peak_bytes() const {
  return bytes_of(Phase::kAlways) + std::max(bytes_of(Phase::kRollout), bytes_of(Phase::kUpdate));
}

MemoryPlan plan_memory(const RunConfig& config) { return Planner(config).plan(); }

}  // namespace sgrpo::trainer
