// Qwen3-VL, dense.
#include "model/family.h"
#include "model/qwen3_vl/vision.h"

namespace sgrpo::model::qwen3_vl {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  DecoderConfig result = read_decoder_config(config, where, {.rope_theta = 5e5, .head_dim = 128});
  read_qwen3_attention(config, where, result);
  result.mrope_interleaved = true;
  std::swap(result.root.names[0], result.root.names[1]);  // what new checkpoints take
  read_mrope(config, where, result);
  return result;
}

VitConfig vision_config(const core::Json& config, const std::string& where) {
  return read_vision_config(config, where);
}

std::unique_ptr<VisionTower> tower(const core::Json& config,
                                   const std::string& where,
                                   WeightLoader& weights) {
  return std::make_unique<Tower>(read_vision_config(config, where), weights);
}

constexpr FamilyParts kParts = {
    .model_type = "qwen3_vl", .text = text_config, .vision = vision_config, .tower = tower};

Family family() { return make_family<kParts>(); }

}  // namespace

SGRPO_REGISTER_MODEL("qwen3_vl", family);

}  // namespace sgrpo::model::qwen3_vl
