#include "sgrpo/core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "sgrpo/core/error.h"

namespace sgrpo::core {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason() { return std::strerror(errno); }

}  // namespace

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  // A pipe would wait for its writer: opened without waiting, it is refused below.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) throw UserError(str("cannot read ", path.string(), ": ", reason()));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    throw UserError(str("cannot read ", path.string(), ": ", reason()));
  if (!S_ISREG(status.st_mode)) {
    throw UserError(str("cannot read ",
                        path.string(),
                        ": ",
                        S_ISDIR(status.st_mode) ? "is a folder" : "not a regular file"));
  }
  if (static_cast<uint64_t>(status.st_size) > max_bytes) {
    throw UserError(str(path.string(),
                        " has ",
                        status.st_size,
                        " bytes, at most ",
                        max_bytes,
                        " are accepted here"));
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw UserError(str("cannot read ", path.string(), ": ", reason()));
    if (got == 0) break;  // truncated while being read
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

void sync_folder(const std::filesystem::path& folder) {
  const Descriptor file(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0) {
    throw RunError(str("cannot sync folder ", folder.string(), ": ", reason()));
  }
}

void write_file_atomic(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::path temporary = path;
  temporary += str(".tmp-", ::getpid());
  {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) throw RunError(str("cannot write ", temporary.string(), ": ", reason()));
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t wrote = ::write(file.get(), bytes.data() + done, bytes.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        const std::string why = reason();
        ::unlink(temporary.c_str());
        throw RunError(str("cannot write ", path.string(), ": ", why));
      }
      done += static_cast<size_t>(wrote);
    }
    if (::fsync(file.get()) != 0)
      throw RunError(str("cannot sync ", temporary.string(), ": ", reason()));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = reason();
    ::unlink(temporary.c_str());
    throw RunError(str("cannot rename to ", path.string(), ": ", why));
  }
  sync_folder(path.parent_path());
}

}  // namespace sgrpo::core
