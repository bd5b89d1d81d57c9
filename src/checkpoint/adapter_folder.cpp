#include "sgrpo/checkpoint/adapter_folder.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <system_error>

#include "checkpoint/io.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;
using core::Json;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightFile = "adapter_model.safetensors";

bool is_present(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// Whether a setting is off in any of the ways that PEFT writes it.
bool is_off(const Json& value) {
  return value == false || value == "none" || (value.is_structured() && value.empty());
}

/// Settings that change what the tensors mean.
void check_plain(const Json& json, const std::string& where) {
  const std::string type = core::get_string_or(json, "peft_type", "LORA", where);
  if (type != "LORA") {
    throw FormatError(
        core::str(where, ": peft_type is '", core::printable(type), "', expected LORA"));
  }
  if (const Json* tokens = core::find(json, "alora_invocation_tokens");
      tokens && !is_off(*tokens)) {
    throw FormatError(
        core::str(where,
                  ": alora_invocation_tokens is set: an activated LoRA (aLoRA), which "
                  "adds to the tokens behind its invocation alone and cannot be "
                  "merged, is not supported: give a plain LoRA"));
  }
  for (const char* key : {"use_dora",
                          "bias",
                          "modules_to_save",
                          "rank_pattern",
                          "alpha_pattern",
                          "lora_bias",
                          "trainable_token_indices",
                          "target_parameters",
                          "fan_in_fan_out",
                          "use_qalora",
                          "use_bdlora",
                          "layer_replication",
                          "arrow_config",
                          "velora_config",
                          "monteclora_config",
                          "kasa_config"}) {
    const Json* value = core::find(json, key);
    if (value == nullptr || is_off(*value)) continue;
    throw FormatError(core::str(where,
                                ": ",
                                key,
                                " is ",
                                core::printable(core::dump_ascii(*value)),
                                ", which is not supported: merge the adapter in Python "
                                "(merge_and_unload) and give the merged model"));
  }
}

/// Initialisations that change the base model's weights: the adapter adds to the changed ones.
void check_init(const Json& json, const std::string& where) {
  const Json* init = core::find(json, "init_lora_weights");
  if (init == nullptr || !init->is_string()) return;
  const std::string name = init->get<std::string>();
  for (const char* kind : {"pissa", "corda", "olora", "loftq", "lora_ga"}) {
    if (!core::starts_with(name, kind)) continue;
    throw FormatError(core::str(where,
                                ": init_lora_weights is '",
                                core::printable(name),
                                "', for which PEFT changes the base model's weights first, which "
                                "is not supported: merge the adapter in Python "
                                "(merge_and_unload) and give the merged model"));
  }
}

std::vector<std::string> read_targets(const Json& json) {
  std::vector<std::string> targets;
  const Json* value = core::find(json, "target_modules");
  if (value == nullptr || !value->is_array()) return targets;
  for (const Json& target : *value) {
    if (target.is_string()) targets.push_back(target.get<std::string>());
  }
  return targets;
}

AdapterConfig read_config(const fs::path& folder) {
  const std::string where = (folder / kConfigFile).string();
  const Json json = core::parse_json(core::read_file(where), where);
  check_plain(json, where);
  check_init(json, where);
  AdapterConfig config;
  config.base_model = core::get_string(json, "base_model_name_or_path", where);
  config.rank = core::get_int(json, "r", where, 1, int64_t{1} << 20);
  config.alpha = core::get_double(json, "lora_alpha", where);
  config.is_rank_stabilized = core::get_bool_or(json, "use_rslora", false, where);
  config.target_modules = read_targets(json);
  return config;
}

fs::path weights_of(const fs::path& folder) {
  if (is_present(folder / kWeightFile)) return folder / kWeightFile;
  const char* remedy = is_present(folder / "adapter_model.bin")
                           ? "; adapter_model.bin is a pickle, which is not read (pickles can run "
                             "code): save it again with PEFT, which writes safetensors"
                           : "";
  throw FormatError(
      core::str(folder.string(), ": ", kConfigFile, " is there, but not ", kWeightFile, remedy));
}

/// The keys that PEFT's LoraConfig needs to rebuild the layers; the rest are its defaults.
std::string config_text(const AdapterConfig& config) {
  const bool is_whole = config.alpha == std::floor(config.alpha);
  const Json alpha = is_whole ? Json(static_cast<int64_t>(config.alpha)) : Json(config.alpha);
  const Json json = {{"base_model_name_or_path", config.base_model},
                     {"bias", "none"},
                     {"fan_in_fan_out", false},
                     {"inference_mode", true},
                     {"init_lora_weights", true},
                     {"lora_alpha", alpha},
                     {"lora_dropout", 0.0},
                     {"modules_to_save", nullptr},
                     {"peft_type", "LORA"},
                     {"r", config.rank},
                     {"target_modules", config.target_modules},
                     {"task_type", "CAUSAL_LM"},
                     {"use_dora", false},
                     {"use_rslora", config.is_rank_stabilized}};
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

AdapterFolder::AdapterFolder(const fs::path& folder)
    : folder_(folder), config_(read_config(folder)), weights_(weights_of(folder)) {
  for (const TensorEntry& entry : weights_.entries()) names_.push_back(entry.name);
}

bool is_adapter_folder(const fs::path& folder) { return is_present(folder / kConfigFile); }

ModelWriter adapter_writer(const AdapterConfig& config,
                           std::vector<std::pair<std::string, at::Tensor>> tensors) {
  const std::string text = config_text(config);
  ModelWriter writer;
  writer.bytes = text.size();
  for (const auto& [name, tensor] : tensors) writer.bytes += tensor.nbytes();
  writer.write = [text, tensors = std::move(tensors)](const fs::path& destination) {
    const fs::path target = new_folder_path(destination);
    TemporaryFolder temporary(temporary_beside(target));
    core::write_file_atomic(temporary.path() / kConfigFile, text);
    // transformers asks for the metadata that tells PyTorch's files from others
    const std::string digest =
        write_safetensors(temporary.path() / kWeightFile, tensors, {{"format", "pt"}});
    const uint64_t bytes = fs::file_size(temporary.path() / kWeightFile);
    temporary.publish(target);
    return std::vector<WrittenFile>{{kConfigFile, text.size(), core::sha256_hex(text)},
                                    {kWeightFile, bytes, digest}};
  };
  return writer;
}

}  // namespace sgrpo::checkpoint
