// Files by explicit offset: reading that notices truncation, writing that hashes on the way.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "sgrpo/core/sha256.h"

namespace sgrpo::checkpoint {

/// Bytes moved at once when data only passes through (copies, hashes).
constexpr uint64_t kChunkBytes = uint64_t{4} << 20;

/// A regular file opened for reading with pread: no shared position, and a file that shrinks
/// meanwhile is an error instead of the SIGBUS that a mapping would give.
class InputFile {
 public:
  /// Throws FormatError naming path and reason.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Size when the file was opened.
  uint64_t size() const { return size_; }
  /// Exactly `bytes` bytes from `offset`. Throws FormatError if the file ends before.
  void read(uint64_t offset, void* destination, uint64_t bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// A new file of a size known beforehand. Its blocks are reserved first, so that a full disk shows
/// before anything is written; it disappears unless finish() returns.
class OutputFile {
 public:
  /// Throws core::RunError naming path and reason.
  OutputFile(std::filesystem::path path, uint64_t bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, uint64_t bytes);
  /// Appends a range of another file.
  void copy(const InputFile& input, uint64_t offset, uint64_t bytes);
  /// Checks the size, syncs, closes; returns the SHA-256 of everything written.
  std::string finish();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t expected_ = 0;
  uint64_t written_ = 0;
  core::Sha256 hash_;
};

/// SHA-256 of a whole file, read in chunks.
std::string hash_file(const std::filesystem::path& path);

/// Creates a folder with its parents. Throws core::RunError.
void make_folder(const std::filesystem::path& folder);

/// rename(2). Throws core::RunError naming both paths.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);

/// A folder that is removed with its content on scope exit unless it was published.
class TemporaryFolder {
 public:
  /// Starts empty: a leftover of the same name is removed. Throws core::RunError.
  explicit TemporaryFolder(std::filesystem::path path);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Syncs the folder and renames it to `target`, on the same file system. Throws core::RunError.
  void publish(const std::filesystem::path& target);

 private:
  std::filesystem::path path_;
};

/// The absolute path of a folder to be created; its parent is made. Throws core::UserError if it is
/// there already and is not an empty folder.
std::filesystem::path new_folder_path(const std::filesystem::path& destination);

/// `<parent>/.tmp-<name>-<process id>`: our temporary names, all on the target's file system.
std::filesystem::path temporary_beside(const std::filesystem::path& target);

}  // namespace sgrpo::checkpoint
