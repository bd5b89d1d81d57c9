// Signs of life while gigabytes of weights are read.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <string>

namespace sgrpo::policy {

/// Writes how much of a folder has been read, and how fast, every few seconds and at the end;
/// nothing at all about a load of less than that.
class LoadProgress {
 public:
  using Read = std::function<at::Tensor(const std::string&)>;

  /// `where` is named in every line, `bytes` is the folder's size.
  LoadProgress(std::string where, uint64_t bytes, double interval_s = 10.0);
  /// The line of the end.
  ~LoadProgress();
  LoadProgress(const LoadProgress&) = delete;
  LoadProgress& operator=(const LoadProgress&) = delete;

  /// `read`, counted; not to be called after this object's end.
  Read counted(Read read);

 private:
  using Clock = std::chrono::steady_clock;

  void add(uint64_t bytes);
  void speak(Clock::time_point now);

  const std::string where_;
  const uint64_t bytes_;
  const std::chrono::duration<double> interval_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point spoken_ = start_;
  uint64_t read_ = 0;
};

}  // namespace sgrpo::policy
