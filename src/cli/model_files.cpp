#include "cli/model_files.h"

#include <limits>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/file.h"
#include "sgrpo/model/model.h"

namespace sgrpo::cli {
namespace {

namespace fs = std::filesystem;
using core::str;

/// Facts of config.json; those of a text model without one.
model::ModelSpec read_model_spec(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) return {};
  return model::read_spec(core::parse_json(core::read_file(path), path.string()), path.string());
}

}  // namespace

fs::path small_files_folder(const fs::path& path) {
  for (const char* name : {"tokenizer.json",
                           "vocab.json",
                           "tokenizer.model",
                           "preprocessor_config.json",
                           "processor_config.json"}) {
    if (fs::exists(path / name)) return path;
  }
  return checkpoint::ModelFolder(path).folder();
}

image::ProcessorConfig load_image_processor(const fs::path& folder, const PixelLimits& limits) {
  std::optional<image::ProcessorConfig> config = image::load_processor(folder);
  if (!config) {
    throw core::UserError(str(folder.string(),
                              " has neither preprocessor_config.json nor processor_config.json: it "
                              "is a text model, or not a whole checkpoint"));
  }
  if (limits.min_pixels) config->min_pixels = *limits.min_pixels;
  if (limits.max_pixels) config->max_pixels = *limits.max_pixels;
  if (config->min_pixels > config->max_pixels) {
    throw core::UserError(str("min_pixels is ",
                              config->min_pixels,
                              ", expected at most max_pixels (",
                              config->max_pixels,
                              ")"));
  }
  return *config;
}

data::EncoderSpec load_encoder_spec(const fs::path& folder,
                                    std::shared_ptr<const tokenizer::Tokenizer> tokenizer) {
  const model::ModelSpec spec = read_model_spec(folder);
  data::EncoderSpec result;
  result.turn_end_id = tokenizer->token_id("<|im_end|>").value_or(-1);
  result.tokenizer = std::move(tokenizer);
  result.chat = tokenizer::ChatTemplate::load(folder);
  result.processor = image::load_processor(folder);
  result.image_token_id = spec.image_token_id;
  result.video_token_id = spec.video_token_id;
  result.max_prompt_tokens = std::numeric_limits<int32_t>::max();  // nothing is trained here
  return result;
}

}  // namespace sgrpo::cli
