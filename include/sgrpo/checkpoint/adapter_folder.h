// A LoRA adapter in PEFT's format: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/checkpoint/written_file.h"

namespace sgrpo::checkpoint {

/// What adapter_config.json says.
struct AdapterConfig {
  std::string base_model;  // folder of the weights that the adapter adds to
  int64_t rank = 0;
  double alpha = 0.0;
  bool is_rank_stabilized = false;
  std::vector<std::string> target_modules;
};

/// An adapter folder opened for reading.
class AdapterFolder {
 public:
  /// Throws core::UserError or FormatError: a file is missing or damaged, or the adapter is of a
  /// kind that is not plain LoRA (DoRA, trained biases, whole modules, ranks that differ), by name.
  explicit AdapterFolder(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const AdapterConfig& config() const { return config_; }
  const std::vector<std::string>& names() const { return names_; }
  at::Tensor read(const std::string& name) const { return weights_.read(name); }

 private:
  std::filesystem::path folder_;
  AdapterConfig config_;
  SafetensorsFile weights_;
  std::vector<std::string> names_;
};

/// Whether the folder holds adapter_config.json.
bool is_adapter_folder(const std::filesystem::path& folder);

/// Writes an adapter folder that PEFT and ModelFolder read. The folder appears whole or not at all;
/// an existing destination must be an empty folder.
ModelWriter adapter_writer(const AdapterConfig& config,
                           std::vector<std::pair<std::string, at::Tensor>> tensors);

}  // namespace sgrpo::checkpoint
