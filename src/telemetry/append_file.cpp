#include "telemetry/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sgrpo/core/error.h"

namespace sgrpo::telemetry {

AppendFile::AppendFile(const std::filesystem::path& path, bool exclusive) : path_(path) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (exclusive ? O_EXCL : 0);
  fd_ = ::open(path.c_str(), flags, 0644);
  if (fd_ < 0) {
    throw core::RunError(core::str("cannot write ", path.string(), ": ", std::strerror(errno)));
  }
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      throw core::RunError(
          core::str("cannot append to ", path_.string(), ": ", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
}

}  // namespace sgrpo::telemetry
