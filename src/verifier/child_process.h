// A program in a session of its own that answers lines with lines.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/verifier/options.h"

namespace sgrpo::verifier {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { close(); }
  void close();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// What is run, and with what.
struct ChildOptions {
  std::filesystem::path program;
  std::vector<std::string> argv;         // argv[0] included
  std::vector<std::string> environment;  // names of the variables that it sees
  uint64_t memory_bytes = 0;             // of private memory, each process; 0 = no limit
};

/// Owns the child, which runs under sgrpo-run (run/main.cpp): destroying this, or the end of this
/// process however it comes, kills the child with everything it started.
class ChildProcess {
 public:
  /// `line`: one arrived; `timeout`: none in time; `ended`: the program closed its output or ended;
  /// `too_long`: more bytes than a line may have.
  enum class Outcome { kLine, kTimeout, kEnded, kTooLong };

  /// Starts it. posix_spawn, not fork: the process has many threads. Throws RunError if the runner
  /// cannot start; a program that cannot says so on its stderr.
  explicit ChildProcess(const ChildOptions& options);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Sends one line (none if empty) and waits for one; reading and writing overlap, so that neither
  /// side can block the other. A child that is starting has its time until it has read the line,
  /// and only then the line's. Throws core::Interrupted if a stop was asked for meanwhile.
  Outcome exchange(std::string_view line, const TimeLimits& limits, std::string& mutable_answer);

  /// Whether the child has read a line, or answered one.
  bool has_started() const { return has_started_; }

  /// From the moment it had read a line to the answer, of the last line that it answered.
  double answer_seconds() const { return answer_s_; }

  /// Whether there is output that no `exchange` asked for, or comes within `patience`.
  bool has_unread_output(std::chrono::milliseconds patience);
  /// A whole line of that output, if there is one.
  std::optional<std::string> take_line(size_t scanned = 0);

  /// Ends the child and says how it went: "exit status 3; stderr ends with '...'".
  std::string end();

  pid_t pid() const { return pid_; }

  static constexpr size_t kMaxLineBytes = size_t{256} * 1024;

 private:
  using Clock = std::chrono::steady_clock;

  bool write_some(std::string_view& mutable_pending);
  bool read_output();
  void read_errors();
  void wait_for_events(bool is_writing, Clock::time_point deadline);
  bool has_exited() const;
  bool has_read_all() const;
  void kill_all();

  Descriptor input_, output_, errors_;
  Descriptor life_;  // open as long as the child may live
  pid_t pid_ = -1;
  bool has_started_ = false;
  double answer_s_ = 0.0;
  int wait_status_ = 0;
  std::string buffer_, stderr_tail_;
};

}  // namespace sgrpo::verifier
