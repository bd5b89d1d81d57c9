// Error classes: what a caller may catch, and which exit code each becomes in `cli`.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace sgrpo::core {

/// Concatenates its arguments as `<<` would print them.
template <class... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

/// Base of everything that sgrpo throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The user's input is wrong (usage, configuration, data, checkpoint format): exit code 2.
class UserError : public Error {
 public:
  using Error::Error;
};

/// No usable checkpoint where one is required: exit code 3.
class NoCheckpointError : public Error {
 public:
  using Error::Error;
};

/// The run failed for a reason outside the input (disk, device, child process): exit code 1.
class RunError : public Error {
 public:
  using Error::Error;
};

/// A stop was asked for by a signal and state is saved: exit code 75.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// A broken contract between two pieces of this program.
class ContractError : public Error {
 public:
  using Error::Error;
};

}  // namespace sgrpo::core
