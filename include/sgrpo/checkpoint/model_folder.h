// A Hugging Face checkpoint folder: weights by name over one or many files, and everything else in
// it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/checkpoint/adapter_folder.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/checkpoint/written_file.h"
#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

class InputFile;  // src/checkpoint/io.h

/// What a checkpoint of ours calls, in optimizer.safetensors, the float32 values of a tensor that
/// its model/ holds in fewer digits.
inline constexpr const char* kWidePrefix = "weight.";

/// Which values a checkpoint of ours gives.
enum class Digits {
  kWide,    // as they were trained: float32 where model/ has fewer digits
  kRounded  // those of its model/
};

/// A folder opened for reading. `path` may be a model folder, one of our checkpoints (its model/ is
/// taken after the checksums were verified, with the wide values beside it) or a run folder (its
/// newest intact checkpoint), or a link to one of them. In place of a model folder there may be an
/// adapter (PEFT's format): the folder is then that of its base model, whose weights are given
/// without the adapter's part.
class ModelFolder {
 public:
  /// Throws core::UserError if the path does not exist or is none of these (what was looked for is
  /// listed); FormatError for pickles only (with a conversion hint), a bad index, a missing shard,
  /// an index that points at absent tensors, tensors in two shards, a damaged checkpoint of ours;
  /// core::NoCheckpointError for a run folder without an intact checkpoint.
  explicit ModelFolder(const std::filesystem::path& path, Digits digits = Digits::kWide);

  const std::filesystem::path& folder() const { return folder_; }
  /// What was opened, for the log: the folder, its base model, and whether its weights are wide.
  std::string describe() const;
  /// The adapter that leads here, or null.
  const std::shared_ptr<const AdapterFolder>& adapter() const { return adapter_; }
  const core::Json& config() const { return config_; }  // config.json
  std::string config_path() const { return (folder_ / "config.json").string(); }
  /// Tensor names, file by file in index order.
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const;
  /// How the model's files hold the tensor.
  const TensorEntry& entry(const std::string& name) const;
  /// The tensor as the files hold it, or wide.
  at::Tensor read(const std::string& name) const;
  /// Bytes that write_like writes.
  uint64_t bytes() const;
  /// End ids of generation_config.json (a number or a list), else config.json's eos_token_id, else
  /// empty.
  std::vector<int64_t> end_token_ids() const;

  /// Writes the folder anew under `destination`: same files, shards, key order and metadata;
  /// `updated(name)` returns the new value of a tensor (cast to the file's dtype) or an undefined
  /// tensor to copy the input's bytes. Every other file (config, tokenizer, template, ...) is
  /// copied byte for byte, but for weights in other formats, which would be stale. The folder
  /// appears whole or not at all; an existing `destination` must be an empty folder.
  std::vector<WrittenFile> write_like(
      const std::filesystem::path& destination,
      const std::function<at::Tensor(const std::string&)>& updated) const;
  /// write_like for later; this folder must outlive it.
  /// Warns where the files' dtypes round away much of what `updated` changed.
  ModelWriter writer(std::function<at::Tensor(const std::string&)> updated) const;

 private:
  void open_wide(const std::filesystem::path& step);
  void open_files();
  void open_others();
  void index_tensors();
  size_t find_file(const std::string& name) const;  // files_.size() if there is none
  WrittenFile write_weights(const SafetensorsFile& file,
                            const std::filesystem::path& destination,
                            const std::function<at::Tensor(const std::string&)>& updated) const;

  std::filesystem::path folder_;
  std::shared_ptr<const AdapterFolder> adapter_;
  core::Json config_;
  std::vector<SafetensorsFile> files_;
  std::optional<SafetensorsFile> wide_;  // the optimizer's file of a checkpoint of ours
  // Open as well, so that the folder can still be copied after retention removed it.
  std::vector<std::pair<std::filesystem::path, std::shared_ptr<const InputFile>>> others_;
  std::vector<std::string> names_;
  std::vector<std::pair<std::string, size_t>> location_;  // sorted by name -> index into files_
};

}  // namespace sgrpo::checkpoint
