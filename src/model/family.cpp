#include "model/family.h"

#include "sgrpo/core/json.h"

namespace sgrpo::model {

ModelSpec family_spec(const FamilyParts& parts,
                      const core::Json& config,
                      const std::string& where) {
  ModelSpec result = text_spec(parts.model_type, parts.text(config, where));
  if (parts.vision == nullptr) return result;
  const VitConfig vision = parts.vision(config, where);
  result.has_vision = true;
  result.image_token_id = core::get_int(config, "image_token_id", where, 0, result.vocab_size - 1);
  result.video_token_id =
      core::get_int_or(config, "video_token_id", -1, where, 0, result.vocab_size - 1);
  result.merge_size = vision.merge_size;
  result.patch_size = vision.patch_size;
  result.temporal_patch_size = vision.temporal_patch_size;
  if (vision.out_hidden_size != result.hidden_size) {
    throw core::UserError(core::str(where,
                                    ": vision_config.",
                                    parts.vision_width,
                                    " is ",
                                    vision.out_hidden_size,
                                    ", expected the text hidden_size ",
                                    result.hidden_size));
  }
  return result;
}

std::unique_ptr<Model> build_family(const FamilyParts& parts,
                                    const core::Json& config,
                                    const std::string& where,
                                    WeightLoader& weights) {
  ModelSpec spec = family_spec(parts, config, where);
  std::unique_ptr<VisionTower> tower;
  if (parts.tower != nullptr) tower = parts.tower(config, where, weights);
  Decoder decoder(parts.text(config, where), weights);
  return std::make_unique<QwenModel>(
      std::move(spec), std::move(decoder), std::move(tower), weights.finish());
}

}  // namespace sgrpo::model
