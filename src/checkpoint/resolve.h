// From what a user types to the folder that holds a model.
#pragma once

#include <filesystem>

namespace sgrpo::checkpoint {

/// What a path means.
struct Resolved {
  std::filesystem::path model;  // the folder with config.json, or an adapter's
  std::filesystem::path step;   // the checkpoint of ours that `model` belongs to; empty: none
};

/// The model folder meant by `path` (see ModelFolder). Throws as ModelFolder's constructor.
Resolved resolve_model_folder(const std::filesystem::path& path);

/// Whether a file holds weights in a format that we do not read or write (pickles and others).
bool is_foreign_weights(const std::filesystem::path& file);

}  // namespace sgrpo::checkpoint
