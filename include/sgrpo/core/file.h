// Whole-file reads, atomic writes, files that grow.
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
/// the new file. Throws RunError naming the path and errno; then nothing is left beside the target.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// fsync of a folder, so that a rename in it survives power loss.
void sync_folder(const std::filesystem::path& folder);

/// What errno says about a write that failed, and where the remedy is the user's, the remedy: "No
/// space left on device; free some space, then run the same command again".
std::string write_reason(int error);

/// Removes temporary files of write_file_atomic that a killed process left in `folder`. Only for
/// who alone writes there.
void remove_unfinished_files(const std::filesystem::path& folder);

/// Refuses to write `output` where that would destroy `input`, a file or the files of a folder: the
/// same file, also by links. Throws UserError naming both.
void check_not_input(const std::filesystem::path& output, const std::filesystem::path& input);

/// A file that only grows, one write call a record: a killed process leaves at most one torn record
/// at the end, a write that fails (full disk, file-size limit) none.
class AppendFile {
 public:
  enum class Open { kAppend, kReplace, kNew };  // kNew refuses an existing file

  /// Throws RunError naming the path and the reason.
  explicit AppendFile(const std::filesystem::path& path, Open open = Open::kAppend);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Throws RunError naming the path and the reason.
  void append(std::string_view bytes);
  /// fsync: what was appended survives power loss. Throws RunError likewise.
  void sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace sgrpo::core
