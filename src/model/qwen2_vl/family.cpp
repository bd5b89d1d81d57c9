// Qwen2-VL.
#include "model/family.h"
#include "model/qwen2_vl/vision.h"

namespace sgrpo::model::qwen2_vl {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  DecoderConfig result =
      read_decoder_config(config, where, {.rms_norm_eps = 1e-5, .rope_theta = 1e6});
  result.has_qkv_bias = true;
  read_mrope(config, where, result);
  return result;
}

std::unique_ptr<VisionTower> tower(const core::Json& config,
                                   const std::string& where,
                                   WeightLoader& weights) {
  return std::make_unique<Tower>(read_vision_config(config, where), weights);
}

constexpr FamilyParts kParts = {
    .model_type = "qwen2_vl",
    .text = text_config,
    .vision = read_vision_config,
    .tower = tower,
    .vision_width = "hidden_size",
};

Family family() { return make_family<kParts>(); }

}  // namespace

SGRPO_REGISTER_MODEL("qwen2_vl", family);

}  // namespace sgrpo::model::qwen2_vl
