// Which step folders of a run are committed and intact.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/written_file.h"

namespace sgrpo::checkpoint {

constexpr const char* kManifest = "manifest.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";

/// "step-000100".
std::string step_name(int64_t step);
/// The step of such a name; nothing for any other name.
std::optional<int64_t> parse_step_name(const std::string& name);

/// Steps in `checkpoints` that have a manifest, ascending. A missing folder has none.
std::vector<int64_t> committed_steps(const std::filesystem::path& checkpoints);

/// Writes manifest.json: the last file of a commit. Throws core::RunError.
void write_manifest(const std::filesystem::path& step_folder,
                    int64_t step,
                    const std::vector<WrittenFile>& files);

/// Empty if every file of the manifest has its size and checksum; else what is wrong. Only files
/// whose name starts with `prefix` are read.
std::string find_damage(const std::filesystem::path& step_folder, const std::string& prefix = "");

/// The newest step without damage; damaged ones are warned about. Throws core::NoCheckpointError
/// that lists what was found.
int64_t newest_intact(const std::filesystem::path& checkpoints);

}  // namespace sgrpo::checkpoint
