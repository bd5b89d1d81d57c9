#include "model/family.h"

#include "sgrpo/core/json.h"

namespace sgrpo::model {
namespace {

constexpr int64_t kImageTokenId = 151655, kVideoTokenId = 151656;

}  // namespace

ModelSpec family_spec(const FamilyParts& parts,
                      const core::Json& config,
                      const std::string& where) {
  ModelSpec result = text_spec(parts.model_type, parts.text(config, where));
  if (parts.vision == nullptr) return result;
  const VitConfig vision = parts.vision(config, where);
  result.has_vision = true;
  // What transformers takes where config.json leaves them out, in vocabularies that have them.
  const int64_t last_id = result.vocab_size - 1;
  const bool has_published_ids = last_id >= kVideoTokenId;
  result.image_token_id =
      has_published_ids
          ? core::get_int_or(config, "image_token_id", kImageTokenId, where, 0, last_id)
          : core::get_int(config, "image_token_id", where, 0, last_id);
  result.video_token_id = core::get_int_or(
      config, "video_token_id", has_published_ids ? kVideoTokenId : -1, where, 0, last_id);
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
  DecoderConfig text = parts.text(config, where);
  // The class of the text model stands inside that of the whole one.
  if (tower != nullptr) text.root.today = "model.language_model.";
  Decoder decoder(text, weights);
  Adapter adapter = weights.finish_adapter();
  std::vector<Parameter> parameters = weights.finish();
  spec.copies = weights.copies();
  spec.remarks = weights.remarks();
  return std::make_unique<QwenModel>(std::move(spec),
                                     std::move(decoder),
                                     std::move(tower),
                                     std::move(parameters),
                                     std::move(adapter));
}

}  // namespace sgrpo::model
