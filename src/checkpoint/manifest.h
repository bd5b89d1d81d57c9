// Which step folders of a run are committed and intact.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
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

/// All step folders in `checkpoints`, with or without a manifest, ascending.
std::vector<int64_t> step_folders(const std::filesystem::path& checkpoints);

/// Whether the manifest says that a newer version of the program wrote this step.
bool is_of_newer_version(const std::filesystem::path& step_folder);

/// The newest usable step, only of those before `below`. Each step folder that is passed over is
/// warned about with its own message: no manifest, or damaged. Throws core::NoCheckpointError that
/// lists them when there is none, and when a newer version wrote the newest one, which nothing may
/// replace.
int64_t newest_intact(const std::filesystem::path& checkpoints,
                      int64_t below = std::numeric_limits<int64_t>::max());

}  // namespace sgrpo::checkpoint
