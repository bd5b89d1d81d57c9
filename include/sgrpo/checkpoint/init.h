// A new checkpoint folder in the Hugging Face layout (`sgrpo init`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

/// What a new model folder is made of.
struct NewModel {
  core::Json config;                    // config.json
  core::Json preprocessor;              // preprocessor_config.json; null = none (text only)
  std::filesystem::path tokenizer;      // tokenizer.json, copied byte for byte
  std::filesystem::path chat_template;  // chat_template.jinja, copied; empty = none
  std::vector<LazyTensor> tensors;      // made one by one, in the order of writing
  /// Larger weights are split, as the published checkpoints are.
  uint64_t max_shard_bytes = 5'000'000'000;
};

/// Writes config.json, the weights, tokenizer.json with a tokenizer_config.json that transformers
/// reads, chat_template.jinja, preprocessor_config.json, and generation_config.json with the end
/// ids of <|im_end|> and <|endoftext|>. Weights up to max_shard_bytes are model.safetensors; larger
/// ones are model-00001-of-0000N.safetensors and model.safetensors.index.json, filled in the order
/// of `tensors` as transformers' save_pretrained does (a tensor above the limit has a shard of its
/// own). Inside a file tensors are sorted as the reference writer does: element size descending,
/// then name. One tensor is in memory at a time. The folder appears whole or not at all.
/// Throws core::UserError if `destination` exists and is not an empty folder, or if a file to copy
/// is missing or no JSON.
void write_new_model_folder(const std::filesystem::path& destination, const NewModel& model);

}  // namespace sgrpo::checkpoint
