// The encoder of a checkpoint: tokenizer, chat template and image processor, checked against each
// other and against config.json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/data/encoder.h"

namespace sgrpo::policy {

/// How an encoder reads rows.
struct EncoderLimits {
  std::optional<int64_t> min_pixels, max_pixels;
  std::string key_prefix = "--";  // how messages name the two: "data." before a configuration's
  int64_t max_prompt_tokens = 1 << 20;
  int64_t max_ground_truth_tokens = 0;  // 0 = no limit
  bool takes_last_turn = false;         // see data::EncoderSpec
};

/// The encoder of a checkpoint without reading its weights (tokenize, lint).
std::shared_ptr<const data::PromptEncoder> open_encoder(const checkpoint::ModelFolder& folder,
                                                        const EncoderLimits& limits);

}  // namespace sgrpo::policy
