// A Hugging Face checkpoint folder: weights by name over one or many files, and everything else in
// it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

/// A folder opened for reading. `path` may be a model folder or one of our checkpoints (its model/
/// is taken), or a run folder's checkpoints/latest link.
class ModelFolder {
 public:
  /// Throws core::NoCheckpointError if the path does not exist or holds no checkpoint (what was
  /// looked for is listed); FormatError for pickles only (with a conversion hint), a bad index, a
  /// missing shard, an index that points at absent tensors, tensors in two shards.
  explicit ModelFolder(const std::filesystem::path& path);

  const std::filesystem::path& folder() const { return folder_; }
  const core::Json& config() const { return config_; }  // config.json
  /// Tensor names, file by file in index order.
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const;
  const TensorEntry& entry(const std::string& name) const;
  at::Tensor read(const std::string& name) const;
  /// End ids of generation_config.json (a number or a list), else config.json's eos_token_id, else
  /// empty.
  std::vector<int64_t> end_token_ids() const;

  /// Writes the folder anew under `destination`: same files, shards, key order and metadata;
  /// `updated(name)` returns the new value of a tensor (cast to the file's dtype) or an undefined
  /// tensor to copy the input's bytes. Every other file (config, tokenizer, template, ...) is
  /// copied byte for byte. The folder appears whole or not at all. Returns {relative file name,
  /// size, sha256} of what was written.
  struct Written {
    std::string file;
    uint64_t bytes = 0;
    std::string sha256;
  };
  std::vector<Written> write_like(
      const std::filesystem::path& destination,
      const std::function<at::Tensor(const std::string&)>& updated) const;

 private:
  std::filesystem::path folder_;
  core::Json config_;
  std::vector<SafetensorsFile> files_;
  std::vector<std::string> names_;
  std::vector<std::pair<std::string, size_t>> location_;  // sorted by name -> index into files_
};

}  // namespace sgrpo::checkpoint
