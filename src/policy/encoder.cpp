// What turns a folder's prompts into tokens and patches, and whether its parts belong together.
#include <algorithm>

#include "sgrpo/core/log.h"
#include "sgrpo/model/model.h"
#include "sgrpo/policy/encoder.h"

namespace sgrpo::policy {
namespace {

const char* const kTurnEnd = "<|im_end|>";

void check_tokenizer(const checkpoint::ModelFolder& folder,
                     const model::ModelSpec& spec,
                     const tokenizer::Tokenizer& tokenizer) {
  const std::string where = folder.config_path();
  if (tokenizer.size() > spec.vocab_size) {
    throw core::UserError(core::str(where,
                                    ": the tokenizer has ",
                                    tokenizer.size(),
                                    " ids, but vocab_size is ",
                                    spec.vocab_size,
                                    ": tokenizer and weights do not belong together"));
  }
  if (tokenizer.size() < spec.vocab_size / 2) {  // published models leave below 1 % unused
    core::warn(where,
               ": vocab_size is ",
               spec.vocab_size,
               ", but the tokenizer has only ",
               tokenizer.size(),
               " ids; the other rows are never sampled. Is it this model's tokenizer?");
  }
  if (spec.has_vision && !tokenizer.token_id("<|image_pad|>")) {
    throw core::UserError(core::str(where,
                                    ": image_token_id is ",
                                    spec.image_token_id,
                                    ", but the tokenizer has no <|image_pad|>: tokenizer and "
                                    "weights do not belong together"));
  }
  const auto check_id = [&](const char* key, const char* token, int64_t id) {
    const auto known = tokenizer.token_id(token);
    if (id >= 0 && known && *known != id) {
      throw core::UserError(core::str(where,
                                      ": ",
                                      key,
                                      " is ",
                                      id,
                                      ", but the tokenizer's ",
                                      token,
                                      " is ",
                                      *known,
                                      ": tokenizer and weights do not belong together"));
    }
  };
  check_id("image_token_id", "<|image_pad|>", spec.image_token_id);
  check_id("video_token_id", "<|video_pad|>", spec.video_token_id);
}

void check_end_ids(const std::vector<int64_t>& ids,
                   const checkpoint::ModelFolder& folder,
                   const model::ModelSpec& spec) {
  for (const int64_t id : ids) {
    if (id >= 0 && id < spec.vocab_size) continue;
    throw core::UserError(core::str(folder.folder().string(),
                                    ": eos_token_id (generation_config.json, else config.json) "
                                    "has ",
                                    id,
                                    ", expected ids of the embedding's rows, 0..",
                                    spec.vocab_size - 1));
  }
}

void check_processor(const checkpoint::ModelFolder& folder,
                     const model::ModelSpec& spec,
                     const image::ProcessorConfig& processor) {
  const auto check = [&](const char* key, int64_t found, int64_t expected) {
    if (found != expected) {
      throw core::UserError(core::str(processor.where,
                                      ": ",
                                      key,
                                      " is ",
                                      found,
                                      ", but vision_config in ",
                                      folder.config_path(),
                                      " says ",
                                      expected));
    }
  };
  check("patch_size", processor.patch_size, spec.patch_size);
  check("merge_size", processor.merge_size, spec.merge_size);
  check("temporal_patch_size", processor.temporal_patch_size, spec.temporal_patch_size);
}

data::EncoderSpec encoder_spec(const checkpoint::ModelFolder& folder,
                               const model::ModelSpec& spec,
                               const EncoderLimits& limits) {
  data::EncoderSpec result;
  result.tokenizer = tokenizer::load_tokenizer(folder.folder());
  result.chat = tokenizer::ChatTemplate::load(folder.folder());
  check_tokenizer(folder, spec, *result.tokenizer);
  const auto turn_end = result.tokenizer->token_id(kTurnEnd);
  if (!turn_end) {
    throw core::UserError(core::str(folder.folder().string(),
                                    ": the tokenizer has no ",
                                    kTurnEnd,
                                    " token, which ends a turn of ChatML"));
  }
  result.turn_end_id = *turn_end;
  result.end_ids = folder.end_token_ids();
  check_end_ids(result.end_ids, folder, spec);
  result.image_token_id = spec.image_token_id;
  result.video_token_id = spec.video_token_id;
  result.max_prompt_tokens = limits.max_prompt_tokens;
  result.max_positions = spec.max_positions;
  result.max_ground_truth_tokens = limits.max_ground_truth_tokens;
  result.takes_last_turn = limits.takes_last_turn;
  if (!spec.has_vision) return result;
  result.processor = image::load_processor(folder.folder());
  if (!result.processor) {
    throw core::UserError(
        core::str(folder.folder().string(),
                  ": no preprocessor_config.json or processor_config.json, which ",
                  spec.model_type,
                  " needs to read images"));
  }
  check_processor(folder, spec, *result.processor);
  result.processor = image::with_user_limits(
      *result.processor, limits.min_pixels, limits.max_pixels, limits.key_prefix);
  return result;
}

}  // namespace

std::shared_ptr<const data::PromptEncoder> open_encoder(const checkpoint::ModelFolder& folder,
                                                        const EncoderLimits& limits) {
  const model::ModelSpec spec = model::read_spec(folder.config(), folder.config_path());
  return std::make_shared<data::PromptEncoder>(encoder_spec(folder, spec, limits));
}

}  // namespace sgrpo::policy
