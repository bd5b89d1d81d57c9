// A new checkpoint folder in the Hugging Face layout (`sgrpo init`).
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

/// What a new model folder is made of.
struct NewModel {
  core::Json config;                    // config.json
  core::Json preprocessor;              // preprocessor_config.json; null = none (text only)
  std::filesystem::path tokenizer;      // tokenizer.json, copied byte for byte
  std::filesystem::path chat_template;  // chat_template.jinja, copied; empty = none
  std::vector<std::pair<std::string, at::Tensor>> tensors;
};

/// Writes config.json, model.safetensors (tensors sorted as the reference writer does: element size
/// descending, then name), tokenizer.json with a tokenizer_config.json that transformers reads,
/// chat_template.jinja, preprocessor_config.json, and generation_config.json with the end ids of
/// <|im_end|> and <|endoftext|>. The folder appears whole or not at all.
/// Throws core::UserError if `destination` exists and is not an empty folder, or if a file to copy
/// is missing or no JSON.
void write_new_model_folder(const std::filesystem::path& destination, const NewModel& model);

}  // namespace sgrpo::checkpoint
