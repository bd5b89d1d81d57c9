#include "sgrpo/checkpoint/init.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>

#include "checkpoint/io.h"
#include "sgrpo/core/file.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTurnEnd = "<|im_end|>";
constexpr const char* kTextEnd = "<|endoftext|>";

void write_json(const fs::path& path, const core::Json& json) {
  core::write_file_atomic(path, json.dump(2) + "\n");
}

/// The id of an added token of tokenizer.json, or null.
core::Json added_token_id(const core::Json& tokenizer, const std::string& content) {
  const core::Json* tokens = core::find(tokenizer, "added_tokens");
  if (tokens == nullptr || !tokens->is_array()) return nullptr;
  for (const core::Json& token : *tokens) {
    const core::Json* text = core::find(token, "content");
    const core::Json* id = core::find(token, "id");
    if (text != nullptr && id != nullptr && *text == content) return *id;
  }
  return nullptr;
}

core::Json generation_config(const core::Json& tokenizer) {
  core::Json ends = core::Json::array();
  for (const char* token : {kTurnEnd, kTextEnd}) {
    const core::Json id = added_token_id(tokenizer, token);
    if (!id.is_null()) ends.push_back(id);
  }
  core::Json config = {{"do_sample", false}};
  if (!ends.empty()) config["eos_token_id"] = ends;
  const core::Json padding = added_token_id(tokenizer, kTextEnd);
  if (!padding.is_null()) config["pad_token_id"] = padding;
  return config;
}

/// The generic class, because Qwen2's own one replaces tokenizer.json's pre-tokenizer by Qwen's.
core::Json tokenizer_config(const core::Json& tokenizer) {
  core::Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"clean_up_tokenization_spaces", false},
                       {"split_special_tokens", false},
                       {"model_max_length", 32768}};
  if (!added_token_id(tokenizer, kTurnEnd).is_null()) config["eos_token"] = kTurnEnd;
  if (!added_token_id(tokenizer, kTextEnd).is_null()) config["pad_token"] = kTextEnd;
  return config;
}

using Shard = std::vector<LazyTensor>;

uint64_t bytes_of(const Shard& tensors) {
  uint64_t bytes = 0;
  for (const LazyTensor& tensor : tensors) bytes += tensor.bytes();
  return bytes;
}

/// Fills shards in turn. As in huggingface_hub's split_torch_state_dict_into_shards, a tensor above
/// the limit becomes a shard at once, before the one that is being filled.
std::vector<Shard> split(const std::vector<LazyTensor>& tensors, uint64_t limit) {
  std::vector<Shard> shards;
  Shard current;
  for (const LazyTensor& tensor : tensors) {
    if (tensor.bytes() > limit) {
      shards.push_back({tensor});
      continue;
    }
    if (bytes_of(current) + tensor.bytes() > limit) {
      shards.push_back(std::move(current));
      current.clear();
    }
    current.push_back(tensor);
  }
  if (!current.empty() || shards.empty()) shards.push_back(std::move(current));
  return shards;
}

void write_shard(const fs::path& path, Shard tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const LazyTensor& a, const LazyTensor& b) {
    const size_t a_size = c10::elementSize(a.dtype), b_size = c10::elementSize(b.dtype);
    return a_size != b_size ? a_size > b_size : a.name < b.name;
  });
  write_lazy_safetensors(path, tensors, {{"format", "pt"}});
}

/// model.safetensors, or shards and their index.
void write_weights(const fs::path& folder, const std::vector<LazyTensor>& tensors, uint64_t limit) {
  const std::vector<Shard> shards = split(tensors, limit);
  if (shards.size() == 1) {
    write_shard(folder / "model.safetensors", shards.front());
    return;
  }
  std::map<std::string, std::string> weight_map;  // sorted by name
  int64_t parameters = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    write_shard(folder / name, shards[i]);
    for (const LazyTensor& tensor : shards[i]) {
      weight_map[tensor.name] = name;
      parameters += c10::multiply_integers(tensor.shape);
    }
  }
  write_json(folder / "model.safetensors.index.json",
             {{"metadata", {{"total_parameters", parameters}, {"total_size", bytes_of(tensors)}}},
              {"weight_map", weight_map}});
}

}  // namespace

void write_new_model_folder(const fs::path& destination, const NewModel& model) {
  const std::string tokenizer_text = core::read_file(model.tokenizer);
  const core::Json tokenizer = core::parse_json(tokenizer_text, model.tokenizer.string());
  std::string chat_template;
  if (!model.chat_template.empty()) chat_template = core::read_file(model.chat_template);
  const fs::path target = new_folder_path(destination);

  TemporaryFolder temporary(temporary_beside(target));
  const fs::path& folder = temporary.path();
  write_weights(folder, model.tensors, model.max_shard_bytes);
  write_json(folder / "config.json", model.config);
  write_json(folder / "generation_config.json", generation_config(tokenizer));
  write_json(folder / "tokenizer_config.json", tokenizer_config(tokenizer));
  core::write_file_atomic(folder / "tokenizer.json", tokenizer_text);
  if (!model.chat_template.empty()) {
    core::write_file_atomic(folder / "chat_template.jinja", chat_template);
  }
  if (!model.preprocessor.is_null()) {
    write_json(folder / "preprocessor_config.json", model.preprocessor);
  }
  temporary.publish(target);
}

}  // namespace sgrpo::checkpoint
