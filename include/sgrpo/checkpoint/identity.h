// What a model folder is, by content: two folders with the same identity are the same model.
#pragma once

#include <filesystem>
#include <string>

namespace sgrpo::checkpoint {

/// SHA-256 of each part of a model folder; a part that the folder does not have is that of nothing.
struct ModelIdentity {
  std::string weights;    // config.json, generation_config.json, headers, 16 pieces of each shard
  std::string tokenizer;  // vocabulary, merges, added tokens, settings
  std::string chat_template;  // wherever it stands
  std::string processor;      // of images
};

/// Reads `folder` and, where it is an adapter's, nothing of the base model. Of each *.safetensors
/// file it reads the header and 16 pieces of 64 KiB at fixed places: a model of any size takes
/// milliseconds. Throws core::UserError where a file cannot be read.
ModelIdentity identify_model(const std::filesystem::path& folder);

}  // namespace sgrpo::checkpoint
