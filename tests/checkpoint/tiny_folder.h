// A small model folder with two shards, several dtypes and the usual side files.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/files.h"
#include "sgrpo/checkpoint/safetensors.h"

namespace sgrpo::checkpoint::testing {

inline at::Tensor numbers(at::IntArrayRef shape, double seed) {
  return (at::arange(c10::multiply_integers(shape), at::kDouble) + seed).sin().view(shape);
}

/// Names in the order in which the folder holds them.
inline const std::vector<std::string> kTinyNames = {"embed.weight", "z.bias", "a.weight", "scale"};

inline void write_tiny_folder(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_safetensors(folder / "model-00001-of-00002.safetensors",
                    {{"embed.weight", numbers({16, 8}, 0.0).to(at::kFloat)},
                     {"z.bias", numbers({8}, 1.0).to(at::kBFloat16)}},
                    {{"format", "pt"}});
  write_safetensors(folder / "model-00002-of-00002.safetensors",
                    {{"a.weight", numbers({8, 8}, 2.0).to(at::kBFloat16)},
                     {"scale", at::scalar_tensor(3, at::kLong)}});
  write_text(folder / "model.safetensors.index.json",
             R"({"metadata": {"total_size": 664}, "weight_map": {
                 "a.weight": "model-00002-of-00002.safetensors",
                 "embed.weight": "model-00001-of-00002.safetensors",
                 "scale": "model-00002-of-00002.safetensors",
                 "z.bias": "model-00001-of-00002.safetensors"}})");
  write_text(folder / "config.json", R"({"model_type": "tiny", "eos_token_id": 9})");
  write_text(folder / "generation_config.json", R"({"eos_token_id": [2, 0]})");
  write_text(folder / "tokenizer.json", "{\"any\":  \"bytes\xe2\x82\xac\"}");
  write_text(folder / "additional_chat_templates" / "tools.jinja", "{{ messages }}");
}

}  // namespace sgrpo::checkpoint::testing
