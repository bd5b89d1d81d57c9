// A run's checkpoints: committed atomically, verified on reading, retained by rule.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

/// What a checkpoint holds besides the model.
struct RunState {
  int64_t step = 0;
  core::Json state;  // state.json: counters, data position, config hash
  std::vector<std::pair<std::string, at::Tensor>> optimizer;  // optimizer.safetensors; may be empty
};

/// `<run>/checkpoints`: step-000100/{model/, optimizer.safetensors, state.json, manifest.json},
/// latest, best.
class RunFolder {
 public:
  /// Creates `<run>/checkpoints` if missing and removes leftovers of interrupted saves.
  explicit RunFolder(const std::filesystem::path& run);

  /// Saves under a temporary name, writes the manifest (sizes, SHA-256), fsyncs, renames, updates
  /// `latest`; then removes old ones beyond keep_last (0 = all; the linked best one always stays;
  /// never below 1 verified). Checks free space first (1.2 x what is needed). Throws
  /// core::RunError; the previous checkpoint stays untouched.
  void save(const RunState& state,
            const ModelFolder& input,
            const std::function<at::Tensor(const std::string&)>& updated,
            int64_t keep_last);

  /// Points `best` at a committed step.
  void mark_best(int64_t step);

  /// Committed steps, ascending (those whose manifest exists).
  std::vector<int64_t> steps() const;
  std::filesystem::path folder_of(int64_t step) const;
  /// Empty if every file of the manifest has its size and checksum; else what is wrong.
  std::string verify(int64_t step) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace sgrpo::checkpoint
