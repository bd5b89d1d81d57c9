#include "model/qwen2_5_vl/vision.h"
#include "model/qwen_model.h"

namespace sgrpo::model::qwen2_5_vl {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  DecoderConfig result = read_decoder_config(config, where);
  result.has_qkv_bias = true;
  if (result.mrope_section.empty()) {
    throw core::UserError(
        core::str(where, ": mrope_section is missing (under rope_scaling or rope_parameters)"));
  }
  return result;
}

ModelSpec spec(const core::Json& config, const std::string& where) {
  const VisionConfig vision = read_vision_config(config, where);
  ModelSpec result = text_spec("qwen2_5_vl", text_config(config, where));
  result.has_vision = true;
  result.image_token_id = core::get_int(config, "image_token_id", where, 0, result.vocab_size - 1);
  result.video_token_id =
      core::get_int_or(config, "video_token_id", -1, where, 0, result.vocab_size - 1);
  result.merge_size = vision.merge_size;
  result.patch_size = vision.patch_size;
  result.temporal_patch_size = vision.temporal_patch_size;
  if (vision.out_hidden_size != result.hidden_size) {
    throw core::UserError(core::str(where,
                                    ": vision_config.out_hidden_size is ",
                                    vision.out_hidden_size,
                                    ", expected the text hidden_size ",
                                    result.hidden_size));
  }
  return result;
}

std::unique_ptr<Model> build(const core::Json& config,
                             const std::string& where,
                             WeightLoader& weights) {
  ModelSpec facts = spec(config, where);
  auto tower = std::make_unique<Tower>(read_vision_config(config, where), weights);
  Decoder decoder(text_config(config, where), weights);
  return std::make_unique<QwenModel>(
      std::move(facts), std::move(decoder), std::move(tower), weights.finish());
}

std::unique_ptr<Model> load(const ModelSource& source, const ModelOptions& options) {
  WeightLoader weights(source, options);
  return build(source.config, source.where, weights);
}

TensorLayout layout(const core::Json& config, const std::string& where) {
  WeightLoader recorder;
  build(config, where, recorder);
  return recorder.layout();
}

Family family() { return {.load = load, .spec = spec, .layout = layout}; }

}  // namespace

SGRPO_REGISTER_MODEL("qwen2_5_vl", family);

}  // namespace sgrpo::model::qwen2_5_vl
