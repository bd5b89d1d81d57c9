// Independent pieces of work on a few threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace sgrpo::data {

/// Calls task(0..count-1), each once, on up to `threads` threads (this one included), handing out
/// `grain` neighbours at a time. The first exception ends all of them and is thrown.
template <class Task>
void run_parallel(size_t count, size_t threads, size_t grain, Task task) {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t begin = next.fetch_add(grain); begin < count && !failed;
         begin = next.fetch_add(grain)) {
      try {
        for (size_t i = begin; i < std::min(count, begin + grain); ++i) task(i);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
  };
  {
    const size_t pieces = (count + grain - 1) / grain;
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < std::min(threads, pieces); ++i) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

/// All cores: for work that nothing else runs beside.
inline size_t all_threads() {
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
}

}  // namespace sgrpo::data
