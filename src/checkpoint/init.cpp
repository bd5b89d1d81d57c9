#include "sgrpo/checkpoint/init.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "checkpoint/io.h"
#include "sgrpo/checkpoint/safetensors.h"
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

}  // namespace

void write_new_model_folder(const fs::path& destination, const NewModel& model) {
  const std::string tokenizer_text = core::read_file(model.tokenizer);
  const core::Json tokenizer = core::parse_json(tokenizer_text, model.tokenizer.string());
  std::string chat_template;
  if (!model.chat_template.empty()) chat_template = core::read_file(model.chat_template);
  const fs::path target = new_folder_path(destination);

  TemporaryFolder temporary(temporary_beside(target));
  const fs::path& folder = temporary.path();
  auto tensors = model.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    const size_t a_size = a.second.element_size(), b_size = b.second.element_size();
    return a_size != b_size ? a_size > b_size : a.first < b.first;
  });
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
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
