#include "checkpoint/io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

/// Below the 0x7ffff000 bytes that Linux moves in one call.
constexpr uint64_t kMaxTransfer = uint64_t{1} << 30;

std::string reason() { return std::strerror(errno); }

[[noreturn]] void fail_to(const char* action, const fs::path& path) {
  const std::string why = core::write_reason(errno);
  throw core::RunError(core::str("cannot ", action, " ", path.string(), ": ", why));
}

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe must fail below, not wait for a writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    throw FormatError(core::str("cannot open ", path.string(), ": ", reason()));
  }
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw FormatError(core::str(path.string(), " is not a regular file"));
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(uint64_t offset, void* destination, uint64_t bytes) const {
  auto* target = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got =
        ::pread(descriptor_, target, std::min(bytes, kMaxTransfer), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_to("read", path_);
    if (got == 0) {
      throw FormatError(core::str(path_.string(),
                                  " was truncated while being read: it ends at byte ",
                                  offset,
                                  ", and had ",
                                  size_,
                                  " bytes when it was opened"));
    }
    target += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

OutputFile::OutputFile(fs::path path, uint64_t bytes) : path_(std::move(path)), expected_(bytes) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0) fail_to("write", path_);
  // Not every file system can reserve; those find out while writing.
  const bool is_reserved =
      bytes == 0 || ::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) == 0;
  if (!is_reserved && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    const std::string why = core::write_reason(errno);
    ::close(std::exchange(descriptor_, -1));
    ::unlink(path_.c_str());
    throw core::RunError(
        core::str("cannot reserve ", bytes, " bytes for ", path_.string(), ": ", why));
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void OutputFile::write(const void* data, uint64_t bytes) {
  const auto* source = static_cast<const char*>(data);
  while (bytes > 0) {
    // In pieces that stay in the processor's cache between hashing and writing.
    const uint64_t piece = std::min(bytes, kChunkBytes);
    const ssize_t wrote = ::write(descriptor_, source, piece);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_to("write", path_);
    hash_.update(source, static_cast<size_t>(wrote));
    source += wrote;
    written_ += static_cast<uint64_t>(wrote);
    bytes -= static_cast<uint64_t>(wrote);
  }
}

void OutputFile::copy(const InputFile& input, uint64_t offset, uint64_t bytes) {
  std::vector<char> buffer(std::min(bytes, kChunkBytes));
  while (bytes > 0) {
    const uint64_t piece = std::min<uint64_t>(bytes, buffer.size());
    input.read(offset, buffer.data(), piece);
    write(buffer.data(), piece);
    offset += piece;
    bytes -= piece;
  }
}

std::string OutputFile::finish() {
  if (written_ != expected_) {
    throw core::ContractError(core::str(
        path_.string(), ": ", written_, " bytes were written, ", expected_, " announced"));
  }
  if (::fsync(descriptor_) != 0) fail_to("sync", path_);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_to("close", path_);
  return hash_.hex();
}

std::string hash_file(const fs::path& path) {
  const InputFile input(path);
  std::vector<char> buffer(std::min(std::max<uint64_t>(input.size(), 1), kChunkBytes));
  core::Sha256 hash;
  for (uint64_t offset = 0; offset < input.size();) {
    const uint64_t piece = std::min<uint64_t>(input.size() - offset, buffer.size());
    input.read(offset, buffer.data(), piece);
    hash.update(buffer.data(), piece);
    offset += piece;
  }
  return hash.hex();
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw core::RunError(
        core::str("cannot create folder ", folder.string(), ": ", error.message()));
  }
}

void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  throw core::RunError(
      core::str("cannot rename ", from.string(), " to ", to.string(), ": ", reason()));
}

TemporaryFolder::TemporaryFolder(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  fs::remove_all(path_, error);
  make_folder(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
}

void TemporaryFolder::publish(const fs::path& target) {
  core::sync_folder(path_);
  rename_path(path_, target);
  path_.clear();
  core::sync_folder(target.parent_path());
}

fs::path new_folder_path(const fs::path& destination) {
  const fs::path target = fs::absolute(destination / "").parent_path();  // no trailing slash
  std::error_code error;
  const bool is_free = !fs::exists(fs::symlink_status(target, error)) ||
                       (fs::is_directory(target, error) && fs::is_empty(target, error));
  if (!is_free) {
    throw core::UserError(core::str(destination.string(),
                                    " exists already and is not an empty folder; give a new one"));
  }
  make_folder(target.parent_path());
  return target;
}

fs::path temporary_beside(const fs::path& target) {
  return target.parent_path() / core::str(".tmp-", target.filename().string(), "-", ::getpid());
}

}  // namespace sgrpo::checkpoint
