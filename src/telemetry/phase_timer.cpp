#include <unistd.h>

#include <chrono>
#include <fstream>

#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::telemetry {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

PhaseTimer::PhaseTimer() { reset(); }

void PhaseTimer::begin(const std::string& phase) {
  const double time = seconds_now();
  if (!current_.empty()) seconds_[current_] += time - started_;
  current_ = phase;
  started_ = time;
}

void PhaseTimer::credit(const std::string& phase, double seconds) {
  seconds_[phase] += seconds;
  started_ += seconds;
}

void PhaseTimer::end() { begin(""); }

double PhaseTimer::total() const { return seconds_now() - origin_; }

void PhaseTimer::reset() {
  seconds_.clear();
  current_.clear();
  origin_ = started_ = seconds_now();
}

double host_rss_gb() {
  std::ifstream file("/proc/self/statm");
  double pages = 0.0, resident = 0.0;
  if (!(file >> pages >> resident)) return 0.0;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0 * 1024.0);
}

}  // namespace sgrpo::telemetry
