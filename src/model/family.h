// From the parts that differ between families to the functions that the registry keeps.
#pragma once

#include <memory>
#include <string>

#include "model/qwen_model.h"
#include "model/vit.h"

namespace sgrpo::model {

/// What a family says about itself; `vision` and `tower` are null in text-only families.
struct FamilyParts {
  const char* model_type = "";
  DecoderConfig (*text)(const core::Json& config, const std::string& where) = nullptr;
  VitConfig (*vision)(const core::Json& config, const std::string& where) = nullptr;
  std::unique_ptr<VisionTower> (*tower)(const core::Json& config,
                                        const std::string& where,
                                        WeightLoader& weights) = nullptr;
  const char* vision_width = "out_hidden_size";  // vision_config's key of the text's width
};

/// Facts of config.json. Throws core::UserError for texts and images that do not fit together.
ModelSpec family_spec(const FamilyParts& parts, const core::Json& config, const std::string& where);
/// The model, its weights taken from `weights`: the tower's first.
std::unique_ptr<Model> build_family(const FamilyParts& parts,
                                    const core::Json& config,
                                    const std::string& where,
                                    WeightLoader& weights);

template <const FamilyParts& kParts>
Family make_family() {
  Family family;
  family.load = [](const ModelSource& source, const ModelOptions& options) {
    WeightLoader weights(source, options);
    return build_family(kParts, source.config, source.where, weights);
  };
  family.spec = [](const core::Json& config, const std::string& where) {
    return family_spec(kParts, config, where);
  };
  family.layout = [](const ModelSource& source, const ModelOptions& options) {
    WeightLoader recorder = WeightLoader::recorder(source, options);
    const auto model = build_family(kParts, source.config, source.where, recorder);
    return ModelLayout{
        .weights = recorder.layout(), .adapter = model->adapter(), .merges = recorder.merges()};
  };
  return family;
}

}  // namespace sgrpo::model
