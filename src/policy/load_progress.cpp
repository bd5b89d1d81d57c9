#include "policy/load_progress.h"

#include <ATen/ATen.h>

#include <cstdio>

#include "sgrpo/core/log.h"

namespace sgrpo::policy {

LoadProgress::LoadProgress(std::string where, uint64_t bytes, double interval_s)
    : where_(std::move(where)), bytes_(bytes), interval_(interval_s) {}

LoadProgress::~LoadProgress() {
  if (spoken_ != start_) speak(Clock::now());
}

LoadProgress::Read LoadProgress::counted(Read read) {
  return [this, read = std::move(read)](const std::string& name) {
    at::Tensor tensor = read(name);
    add(tensor.nbytes());
    return tensor;
  };
}

void LoadProgress::add(uint64_t bytes) {
  read_ += bytes;
  const auto now = Clock::now();
  if (now - spoken_ >= interval_) speak(now);
}

void LoadProgress::speak(Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - start_).count();
  char numbers[96];
  std::snprintf(numbers,
                sizeof(numbers),
                "%.2f of %.2f GB read in %.0f s (%.2f GB/s)",
                static_cast<double>(read_) / 1e9,
                static_cast<double>(bytes_) / 1e9,
                seconds,
                static_cast<double>(read_) / 1e9 / seconds);
  core::info(where_, ": ", numbers);
  spoken_ = now;
}

}  // namespace sgrpo::policy
