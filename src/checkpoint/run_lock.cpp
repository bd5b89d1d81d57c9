#include "sgrpo/checkpoint/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "checkpoint/io.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// What the holder wrote: "process 123 on host". It may be about to write it: then nothing.
std::string holder_of(int descriptor) {
  std::array<char, 512> text{};
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
  const std::string_view all(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  return core::printable(core::trim(all), 200);
}

constexpr std::string_view kHolder = "process ";

/// Whether the opened file may be a lock: its content is about to be replaced. A link in its place
/// was not followed, a hard link to something else is told by that content.
bool may_be_lock(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return status.st_size == 0 || core::starts_with(holder_of(descriptor), kHolder);
}

[[noreturn]] void refuse(const fs::path& file, int error) {
  if (error == ELOOP || error == 0) {
    throw core::UserError(core::str(file.string(),
                                    " is ",
                                    error == ELOOP ? "a link" : "not a lock of a run",
                                    ", and locking the folder would overwrite it: remove it, or "
                                    "choose another output_dir"));
  }
  throw core::RunError(core::str("cannot open ", file.string(), ": ", std::strerror(error)));
}

/// For the message of whoever comes second; the lock itself does not depend on it.
void write_holder(int descriptor) {
  const std::string text = core::str(kHolder, ::getpid(), " on ", host_name(), "\n");
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    core::warn("cannot write who holds the run's folder: ", std::strerror(errno));
  }
}

}  // namespace

RunLock::RunLock(const fs::path& run) {
  make_folder(run);
  const fs::path file = run / ".lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (descriptor_ < 0) refuse(file, errno);
  if (!may_be_lock(descriptor_)) {
    ::close(std::exchange(descriptor_, -1));
    refuse(file, 0);
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) {
    write_holder(descriptor_);
    return;
  }
  const int reason = errno;
  const std::string holder = holder_of(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
  if (reason != EWOULDBLOCK) {
    core::warn(file.string(),
               " cannot be locked (",
               std::strerror(reason),
               "): take care that no other process writes to this folder");
    return;
  }
  throw core::UserError(core::str(run.string(),
                                  " is in use by another process",
                                  holder.empty() ? "" : core::str(" (", holder, ")"),
                                  ": choose another output_dir, or wait until it ends"));
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace sgrpo::checkpoint
