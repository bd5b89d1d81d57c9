// Ranks as threads of one process.
#pragma once

#include <barrier>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace sgrpo::testing {

/// Exchanges bytes between threads.
class Exchange {
 public:
  explicit Exchange(int64_t ranks) : bytes_(static_cast<size_t>(ranks)), barrier_(ranks) {}

  std::vector<std::string> gather(int64_t rank, const std::string& own) {
    bytes_[static_cast<size_t>(rank)] = own;
    barrier_.arrive_and_wait();
    std::vector<std::string> all = bytes_;
    barrier_.arrive_and_wait();
    return all;
  }
  /// A rank that ends early: the others no longer wait for it.
  void leave() { barrier_.arrive_and_drop(); }

 private:
  std::vector<std::string> bytes_;
  std::barrier<> barrier_;
};

/// Runs `body` once for each rank and throws what the first of them threw.
inline void on_ranks(int64_t ranks, const std::function<void(int64_t)>& body) {
  std::vector<std::exception_ptr> failures(static_cast<size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          body(rank);
        } catch (...) {
          failures[static_cast<size_t>(rank)] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace sgrpo::testing
