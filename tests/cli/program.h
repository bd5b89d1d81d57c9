// The program inside the test's process: arguments in, exit code and both streams out.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "sgrpo/cli/command.h"
#include "testing/png.h"
#include "testing/scratch.h"
#include "testing/tiny_checkpoint.h"

namespace sgrpo::cli {

/// What a call of the program left.
struct Outcome {
  int code = -1;
  std::string out, err;
  std::string last_error_line() const {
    const std::string_view text = core::trim(err);
    return std::string(text.substr(text.rfind('\n') + 1));
  }
  /// Of stdout.
  std::vector<std::string> lines() const { return core::split(core::trim(out), '\n'); }
};

/// `input` stands on stdin.
inline Outcome run(const std::vector<std::string>& arguments, const std::string& input = "") {
  std::istringstream stream(input);
  std::streambuf* const keyboard = std::cin.rdbuf(stream.rdbuf());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = run_program(arguments);
  std::cout.flush();
  std::fflush(nullptr);
  std::cin.rdbuf(keyboard);
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

/// Expects a failure with this message as the last line of stderr.
inline void expect_failure(int code,
                           const std::string& message,
                           const std::vector<std::string>& arguments) {
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.last_error_line().substr(0, message.size() + 14), "sgrpo: error: " + message);
}

}  // namespace sgrpo::cli
