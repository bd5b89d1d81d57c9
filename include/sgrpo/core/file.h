// Whole-file reads and atomic writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sgrpo::core {

/// A path as a user writes it: a leading `~`, `~user`, `$HOME` or `${HOME}` is that home folder.
/// Throws UserError where the home folder is not known, and for another leading variable: it would
/// become a folder of that name.
std::string expand_home(const std::string& path);

/// The file's bytes. Throws UserError naming the path and the reason (missing, a folder, no
/// permission, too large).
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 32);

/// Writes next to the target, fsyncs, renames over it, fsyncs the folder: readers see the old or
/// the new file. Throws RunError naming the path and errno.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// fsync of a folder, so that a rename in it survives power loss.
void sync_folder(const std::filesystem::path& folder);

}  // namespace sgrpo::core
