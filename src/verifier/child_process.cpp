#include "verifier/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "sgrpo/core/error.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

constexpr std::chrono::milliseconds kPollSlice{100};  // how late a stop or an exit may be seen
constexpr std::chrono::milliseconds kGrace{200};      // for a child whose input was closed
constexpr size_t kStderrTailBytes = 2048;
constexpr std::chrono::seconds kLongestEnd{10};
constexpr const char* kRunner = "sgrpo-run";

struct Pipe {
  Descriptor read, write;
};

/// Above 3, so that the child's dup2 to 0, 1, 2, 3 cannot hit another end.
Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw core::RunError(core::str("cannot make a pipe: ", std::strerror(errno)));
  }
  const Descriptor low_read(ends[0]), low_write(ends[1]);
  Pipe pipe{Descriptor(fcntl(ends[0], F_DUPFD_CLOEXEC, 4)),
            Descriptor(fcntl(ends[1], F_DUPFD_CLOEXEC, 4))};
  if (pipe.read.get() < 0 || pipe.write.get() < 0) {
    throw core::RunError(core::str("cannot make a pipe: ", std::strerror(errno)));
  }
  return pipe;
}

void set_nonblocking(const Descriptor& end) {
  fcntl(end.get(), F_SETFL, fcntl(end.get(), F_GETFL) | O_NONBLOCK);
}

/// posix_spawn's two settings objects.
class SpawnSettings {
 public:
  /// The child's descriptors from 0 on, all above 2.
  explicit SpawnSettings(const std::array<int, 4>& descriptors) {
    posix_spawn_file_actions_init(&actions_);
    for (int i = 0; i < 4; ++i)
      posix_spawn_file_actions_adddup2(&actions_, descriptors[static_cast<size_t>(i)], i);
    posix_spawn_file_actions_addclosefrom_np(&actions_, 4);
    posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// Writing to a pipe whose reader died must give EPIPE, not end this process.
class BlockedSigpipe {
 public:
  BlockedSigpipe() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~BlockedSigpipe() {
    const timespec at_once{};
    while (!was_pending_ && sigtimedwait(&sigpipe_, nullptr, &at_once) == -1 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BlockedSigpipe(const BlockedSigpipe&) = delete;
  BlockedSigpipe& operator=(const BlockedSigpipe&) = delete;

 private:
  sigset_t sigpipe_{}, before_{};
  bool was_pending_ = false;
};

/// sgrpo-run beside this program, or, for tests, one folder above it.
std::filesystem::path find_runner() {
  std::error_code error;
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", error);
  for (const auto& folder : {own.parent_path(), own.parent_path().parent_path()}) {
    if (access((folder / kRunner).c_str(), X_OK) == 0) return folder / kRunner;
  }
  throw core::RunError(core::str("cannot find the program ",
                                 kRunner,
                                 " beside ",
                                 own.string(),
                                 ", under which verifiers of kind command run; build the target "
                                 "sgrpo, and copy both together"));
}

/// The variables that the program may see.
std::vector<std::string> environment_of(const std::vector<std::string>& names) {
  std::vector<std::string> result;
  for (const std::string& name : names) {
    if (const char* value = std::getenv(name.c_str()); value != nullptr)
      result.push_back(name + "=" + value);
  }
  return result;
}

std::string describe(int wait_status) {
  if (WIFEXITED(wait_status)) return core::str("exit status ", WEXITSTATUS(wait_status));
  if (WIFSIGNALED(wait_status)) {
    return core::str(
        "ended by signal ", WTERMSIG(wait_status), " (", strsignal(WTERMSIG(wait_status)), ")");
  }
  return "ended";
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void Descriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

ChildProcess::ChildProcess(const ChildOptions& options) {
  std::vector<std::string> arguments = {
      kRunner, std::to_string(options.memory_bytes), options.program.string()};
  arguments.insert(arguments.end(), options.argv.begin(), options.argv.end());
  std::vector<std::string> environment = environment_of(options.environment);
  Pipe input = make_pipe(), output = make_pipe(), errors = make_pipe(), life = make_pipe();
  const SpawnSettings settings(
      {input.read.get(), output.write.get(), errors.write.get(), life.read.get()});
  const std::filesystem::path runner = find_runner();
  const int error = posix_spawn(&pid_,
                                runner.c_str(),
                                settings.actions(),
                                settings.attributes(),
                                pointers(arguments).data(),
                                pointers(environment).data());
  if (error != 0) {
    pid_ = -1;
    throw core::RunError(core::str("cannot start '", runner.string(), "': ", std::strerror(error)));
  }
  input_ = std::move(input.write);
  output_ = std::move(output.read);
  errors_ = std::move(errors.read);
  life_ = std::move(life.write);
  set_nonblocking(input_);
  set_nonblocking(output_);
  set_nonblocking(errors_);
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) kill_all();
}

ChildProcess::Outcome ChildProcess::exchange(std::string_view line,
                                             const TimeLimits& limits,
                                             std::string& mutable_answer) {
  const BlockedSigpipe guard;
  const std::string message = line.empty() ? "" : core::str(line, "\n");
  std::string_view pending = message;
  const auto in = [](double seconds) {
    return Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  };
  auto begin = Clock::now();
  auto deadline = in(has_started_ ? limits.row_s : limits.start_s);
  size_t scanned = 0;
  while (true) {
    const bool is_open = write_some(pending) && read_output();
    read_errors();
    if (auto answer = take_line(scanned)) {
      mutable_answer = std::move(*answer);
      has_started_ = true;
      answer_s_ = std::chrono::duration<double>(Clock::now() - begin).count();
      return Outcome::kLine;
    }
    if (buffer_.size() > kMaxLineBytes) return Outcome::kTooLong;
    scanned = buffer_.size();
    if (!is_open) return Outcome::kEnded;
    if (core::stop_requested()) throw core::Interrupted("a stop was asked for while verifying");
    if (!has_started_ && pending.empty() && has_read_all()) {
      has_started_ = true;
      begin = Clock::now();
      deadline = in(limits.row_s);
    }
    if (Clock::now() >= deadline) return Outcome::kTimeout;
    wait_for_events(!pending.empty(), deadline);
  }
}

/// Writes what the pipe takes. A child that closed its input may still answer, so this is no end.
bool ChildProcess::write_some(std::string_view& mutable_pending) {
  while (!mutable_pending.empty()) {
    const ssize_t count = write(input_.get(), mutable_pending.data(), mutable_pending.size());
    if (count >= 0) {
      mutable_pending.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EPIPE) {
      mutable_pending = {};
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
  return true;
}

/// Reads what is there, a little over one line at most; false at the end of the output.
bool ChildProcess::read_output() {
  std::array<char, 65536> chunk{};
  while (buffer_.size() <= kMaxLineBytes) {
    const ssize_t count = read(output_.get(), chunk.data(), chunk.size());
    if (count > 0) {
      buffer_.append(chunk.data(), static_cast<size_t>(count));
    } else if (count == 0) {
      return false;
    } else if (errno != EINTR) {
      // A grandchild may hold the output open after the child is gone.
      return errno == EAGAIN && !has_exited();
    }
  }
  return true;
}

void ChildProcess::read_errors() {
  std::array<char, 4096> chunk{};
  constexpr int kMostChunks = 64;  // a flood must not keep the caller from its deadline
  for (int i = 0; i < kMostChunks && errors_.get() >= 0; ++i) {
    const ssize_t count = read(errors_.get(), chunk.data(), chunk.size());
    if (count == 0) errors_.close();
    if (count <= 0) return;
    stderr_tail_.append(chunk.data(), static_cast<size_t>(count));
    if (stderr_tail_.size() > kStderrTailBytes) {
      stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
    }
  }
}

void ChildProcess::wait_for_events(bool is_writing, Clock::time_point deadline) {
  // poll ignores negative descriptors.
  std::array<pollfd, 3> events{{{is_writing ? input_.get() : -1, POLLOUT, 0},
                                {output_.get(), POLLIN, 0},
                                {errors_.get(), POLLIN, 0}}};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  const auto slice = std::clamp(left, std::chrono::milliseconds(0), kPollSlice);
  poll(events.data(), events.size(), static_cast<int>(slice.count()));
}

bool ChildProcess::has_unread_output(std::chrono::milliseconds patience) {
  pollfd event{output_.get(), POLLIN, 0};
  if (buffer_.empty() && patience.count() > 0) {
    poll(&event, 1, static_cast<int>(patience.count()));
  }
  read_output();
  return !buffer_.empty();
}

std::optional<std::string> ChildProcess::take_line(size_t scanned) {
  const size_t newline = buffer_.find('\n', scanned);
  if (newline == std::string::npos || newline > kMaxLineBytes) return std::nullopt;
  std::string line = buffer_.substr(0, newline);
  buffer_.erase(0, newline + 1);
  return line;
}

bool ChildProcess::has_exited() const {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

bool ChildProcess::has_read_all() const {
  int unread = 0;
  return ioctl(input_.get(), FIONREAD, &unread) == 0 && unread == 0;
}

std::string ChildProcess::end() {
  input_.close();
  const auto deadline = Clock::now() + kGrace;
  bool ended_itself = has_exited();
  while (!ended_itself && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    read_errors();
    ended_itself = has_exited();
  }
  read_errors();
  kill_all();
  std::string text = ended_itself ? describe(wait_status_) : "still running, killed";
  const std::string_view tail = core::trim(stderr_tail_);
  if (!tail.empty()) text += core::str("; stderr ends with '", core::printable(tail, 600), "'");
  return text;
}

void ChildProcess::kill_all() {
  if (pid_ <= 0) return;
  life_.close();  // the runner kills all that the program started, and ends
  const auto deadline = Clock::now() + kLongestEnd;
  while (!has_exited() && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(pid_, SIGKILL);  // not reaped yet, so its id cannot belong to another
  while (waitpid(pid_, &wait_status_, 0) == -1 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace sgrpo::verifier
