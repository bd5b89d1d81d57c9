// Runs the built program as a user does: arguments in, exit code and both streams out.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "testing/scratch.h"

extern char** environ;

namespace sgrpo::e2e {

/// What a finished program leaves behind.
struct Outcome {
  int code = -1;  // exit code, or 128 + signal
  std::string out, err;

  /// The last line of stderr: the message of a failure.
  std::string last_error_line() const {
    const std::string_view text = core::trim(err);
    return std::string(text.substr(text.rfind('\n') + 1));
  }
};

/// A running program.
class Process {
 public:
  Process(const std::vector<std::string>& command, const std::filesystem::path& folder)
      : out_((folder / "stdout.txt").string()), err_((folder / "stderr.txt").string()) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_.c_str(), kFlags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err_.c_str(), kFlags, 0600);
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error =
        ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) pid_ = -1;
    EXPECT_EQ(error, 0) << command[0];
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void send(int signal) const { ::kill(pid_, signal); }
  /// Whether `condition` holds before the program ends or a minute is over.
  bool wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 1200; ++i) {
      if (condition()) return true;
      if (has_ended()) return condition();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  /// Waits for the end; more than two minutes are a failure.
  Outcome finish() {
    for (int i = 0; i < 2400 && !has_ended(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(has_ended()) << "the program does not end";
    return {.code = code_, .out = core::read_file(out_), .err = core::read_file(err_)};
  }

 private:
  bool has_ended() {
    int status = 0;
    if (pid_ <= 0) return true;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    pid_ = -1;
    return true;
  }

  std::string out_, err_;
  pid_t pid_ = -1;
  int code_ = -1;
};

}  // namespace sgrpo::e2e
