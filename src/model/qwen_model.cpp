#include "model/qwen_model.h"

#include <ATen/ATen.h>

#include <chrono>

namespace sgrpo::model {

ModelSpec text_spec(const std::string& model_type, const DecoderConfig& config) {
  ModelSpec spec;
  spec.model_type = model_type;
  spec.vocab_size = config.vocab_size;
  spec.hidden_size = config.hidden_size;
  spec.num_layers = config.num_layers;
  spec.num_heads = config.num_heads;
  spec.num_kv_heads = config.num_kv_heads;
  spec.head_dim = config.head_dim;
  spec.max_positions = config.max_positions;
  return spec;
}

QwenModel::QwenModel(ModelSpec spec,
                     Decoder decoder,
                     std::unique_ptr<VisionTower> vision,
                     std::vector<Parameter> parameters,
                     Adapter adapter)
    : spec_(std::move(spec)),
      decoder_(std::move(decoder)),
      vision_(std::move(vision)),
      parameters_(std::move(parameters)),
      adapter_(std::move(adapter)) {}

VisionFeatures QwenModel::encode_images(const PackedTokens& input) const {
  TORCH_CHECK_VALUE(
      vision_ != nullptr, "the batch has images, but ", spec_.model_type, " has no vision tower");
  const auto begin = std::chrono::steady_clock::now();
  VisionFeatures features = vision_->encode(input.pixel_values, input.grid_thw);
  if (!at::GradMode::is_enabled()) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    vision_seconds_ += spent.count();
  }
  return features;
}

at::Tensor QwenModel::run(const PackedTokens& input, const Decoder::CacheView& cache) const {
  input.validate(device());
  at::Tensor hidden = decoder_.embed(input.token_ids);
  Decoder::AfterLayer after_layer;
  if (input.has_images()) {
    const VisionFeatures features = encode_images(input);
    const at::Tensor& rows = input.image_rows;
    TORCH_CHECK_VALUE(rows.size(0) == features.tokens.size(0),
                      "the batch has ",
                      rows.size(0),
                      " image placeholders, its images give ",
                      features.tokens.size(0),
                      " features");
    hidden = hidden.index_copy(0, rows, features.tokens);
    if (!features.deepstack.empty()) {
      after_layer = [rows, deepstack = features.deepstack](int64_t layer, const at::Tensor& h) {
        const auto index = static_cast<size_t>(layer);
        return index < deepstack.size() ? h.index_add(0, rows, deepstack[index]) : h;
      };
    }
  }
  return decoder_.run(hidden, input.position_ids, input.plan, cache, after_layer);
}

at::Tensor QwenModel::forward(const PackedTokens& input) const {
  expect_positions(input.num_positions);
  return run(input, {});
}

KvCache QwenModel::make_cache(int64_t num_slots) const {
  KvCache cache;
  cache.num_slots = num_slots;
  const auto options = output_weight().options().requires_grad(false);
  for (int64_t layer = 0; layer < spec_.num_layers; ++layer) {
    cache.keys.push_back(at::empty({num_slots, spec_.num_kv_heads, spec_.head_dim}, options));
    cache.values.push_back(at::empty({num_slots, spec_.num_kv_heads, spec_.head_dim}, options));
  }
  return cache;
}

at::Tensor QwenModel::forward_cached(const PackedTokens& input,
                                     const at::Tensor& slots,
                                     KvCache& cache) const {
  TORCH_CHECK(!at::GradMode::is_enabled(),
              "forward_cached runs without gradient: set a NoGradGuard");
  return run(input, {.cache = &cache, .slots = slots});
}

}  // namespace sgrpo::model
