#include "cli/model_files.h"

#include <limits>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/model/model.h"

namespace sgrpo::cli {
namespace {

namespace fs = std::filesystem;
using core::str;

/// config.json, or an empty object without one. The placeholder ids stand at its top in every
/// family, so prompts of an architecture that the model room cannot run are encoded all the same.
core::Json read_model_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) return core::Json::object();
  return core::parse_json(core::read_file(path), path.string());
}

}  // namespace

fs::path small_files_folder(const fs::path& path) {
  for (const char* name : {"tokenizer.json",
                           "vocab.json",
                           "tokenizer.model",
                           "preprocessor_config.json",
                           "processor_config.json"}) {
    if (!fs::exists(path / name)) continue;
    core::info("opened ", path.string());
    return path;
  }
  const checkpoint::ModelFolder folder(path, checkpoint::Digits::kRounded);
  core::info("opened ", folder.describe());
  return folder.folder();
}

image::ProcessorConfig load_image_processor(const fs::path& folder, const PixelLimits& limits) {
  std::optional<image::ProcessorConfig> config = image::load_processor(folder);
  if (!config) {
    throw core::UserError(str(folder.string(),
                              " has neither preprocessor_config.json nor processor_config.json: it "
                              "is a text model, or not a whole checkpoint"));
  }
  return image::with_user_limits(*config, limits.min_pixels, limits.max_pixels, "--");
}

data::EncoderSpec load_encoder_spec(const fs::path& folder,
                                    std::shared_ptr<const tokenizer::Tokenizer> tokenizer) {
  const core::Json config = read_model_config(folder);
  const std::string where = (folder / "config.json").string();
  data::EncoderSpec result;
  result.turn_end_id = tokenizer->token_id("<|im_end|>").value_or(-1);
  result.tokenizer = std::move(tokenizer);
  result.chat = tokenizer::ChatTemplate::load(folder);
  result.processor = image::load_processor(folder);
  const std::string type = core::get_string_or(config, "model_type", "", where);
  if (result.processor && !config.contains("image_token_id") &&
      model::FamilyRegistry::contains(type)) {
    const model::ModelSpec spec = model::read_spec(config, where);  // knows what the family takes
    result.image_token_id = spec.image_token_id;
    result.video_token_id = spec.video_token_id;
  } else {
    result.image_token_id = core::get_int_or(config, "image_token_id", -1, where);
    result.video_token_id = core::get_int_or(config, "video_token_id", -1, where);
  }
  result.max_prompt_tokens = std::numeric_limits<int32_t>::max();  // nothing is trained here
  return result;
}

}  // namespace sgrpo::cli
