#include "sgrpo/core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

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

[[noreturn]] void fail_to_write(const char* action, const std::filesystem::path& path) {
  const std::string why = write_reason(errno);
  throw RunError(str("cannot ", action, " ", path.string(), ": ", why));
}

constexpr std::string_view kUnfinished = ".tmp-";  // then the process id

/// A temporary file beside its target, removed unless it was kept.
class Unfinished {
 public:
  explicit Unfinished(const std::filesystem::path& target) : path_(target) {
    path_ += str(kUnfinished, ::getpid());
  }
  ~Unfinished() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

bool is_unfinished(std::string_view name) {
  const size_t at = name.rfind(kUnfinished);
  if (at == std::string_view::npos || at == 0) return false;
  const std::string_view id = name.substr(at + kUnfinished.size());
  return !id.empty() && id.find_first_not_of("0123456789") == std::string_view::npos;
}

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
    fail_to_write("sync folder", folder);
  }
}

void write_file_atomic(const std::filesystem::path& path, std::string_view bytes) {
  Unfinished temporary(path);
  {
    const Descriptor file(
        ::open(temporary.path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) fail_to_write("write", temporary.path());
    while (!bytes.empty()) {
      const ssize_t wrote = ::write(file.get(), bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) fail_to_write("write", path);
      bytes.remove_prefix(static_cast<size_t>(wrote));
    }
    if (::fsync(file.get()) != 0) fail_to_write("sync", path);
  }
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) fail_to_write("rename to", path);
  temporary.keep();
  sync_folder(path.parent_path());
}

std::string write_reason(int error) {
  const std::string reason = std::strerror(error);
  const char* remedy = "";
  if (error == ENOSPC || error == EDQUOT) remedy = "free some space";
  if (error == EFBIG) remedy = "raise the limit on file sizes (ulimit -f)";
  return *remedy == '\0' ? reason : str(reason, "; ", remedy, ", then run the same command again");
}

void remove_unfinished_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (is_unfinished(entry->path().filename().string())) found.push_back(entry->path());
  }
  for (const auto& path : found) std::filesystem::remove(path, error);
}

void check_not_input(const std::filesystem::path& output, const std::filesystem::path& input) {
  std::error_code error;  // of a file that does not exist: there is nothing to destroy
  if (std::filesystem::is_directory(input, error)) {
    for (std::filesystem::directory_iterator entry(input, error), end; !error && entry != end;
         entry.increment(error)) {
      if (!entry->is_directory(error)) check_not_input(output, entry->path());
    }
    return;
  }
  if (!std::filesystem::equivalent(output, input, error)) return;
  throw UserError(str("writing ",
                      output.string(),
                      " would destroy the input ",
                      input.string(),
                      output == input ? "" : " (the same file by another name)",
                      ": give the output another path"));
}

}  // namespace sgrpo::core
