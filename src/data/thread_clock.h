// CPU time of the calling thread: waiting for another thread or for the disk is not counted.
#pragma once

#include <ctime>

namespace sgrpo::data {

/// Seconds since some fixed moment of this thread.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace sgrpo::data
