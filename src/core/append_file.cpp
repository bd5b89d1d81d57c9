#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"

namespace sgrpo::core {
namespace {

int flags_of(AppendFile::Open open) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  switch (open) {
    case AppendFile::Open::kAppend: return kFlags;
    case AppendFile::Open::kReplace: return kFlags | O_TRUNC;
    case AppendFile::Open::kNew: return kFlags | O_EXCL;
  }
  return kFlags;
}

/// Takes back what was written of a record; a pipe keeps it.
void cut_to(int fd, off_t size) {
  if (size < 0) return;
  while (::ftruncate(fd, size) != 0 && errno == EINTR) {
  }
}

}  // namespace

AppendFile::AppendFile(const std::filesystem::path& path, Open open) : path_(path) {
  fd_ = ::open(path.c_str(), flags_of(open), 0644);
  if (fd_ < 0) throw RunError(str("cannot write ", path.string(), ": ", write_reason(errno)));
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view bytes) {
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const std::string reason = write_reason(errno);
      cut_to(fd_, before);
      throw RunError(str("cannot append to ", path_.string(), ": ", reason));
    }
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
}

void AppendFile::sync() {
  // A pipe has nothing to keep.
  if (::fsync(fd_) == 0 || errno == EINVAL || errno == EROFS) return;
  throw RunError(str("cannot sync ", path_.string(), ": ", write_reason(errno)));
}

}  // namespace sgrpo::core
