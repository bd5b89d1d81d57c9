// The limit on the memory that concurrent decoders hold.
#include "image/decode_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sgrpo::image {
namespace {

TEST(DecodeBudget, takers_together_never_exceed_the_limit) {
  DecodeBudget budget(100);
  std::atomic<int64_t> held{0}, most{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int64_t i = 0; i < 200; ++i) {
          const int64_t bytes = 1 + (7 * i + 13 * t) % 60;
          const auto hold = budget.take(bytes);
          const int64_t now = held += bytes;
          int64_t seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          std::this_thread::yield();
          held -= bytes;
        }
      });
    }
  }
  EXPECT_LE(most, 100);
  EXPECT_GT(most, 60);  // several at a time
  EXPECT_LE(budget.peak(), 100);
}

TEST(DecodeBudget, one_taker_beyond_the_limit_goes_alone) {
  DecodeBudget budget(10);
  std::atomic<bool> is_taken{false};
  std::jthread other;
  {
    const auto huge = budget.take(1000);
    other = std::jthread([&] {
      const auto hold = budget.take(1);
      is_taken = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(is_taken);
  }
  other.join();
  EXPECT_TRUE(is_taken);
  EXPECT_EQ(budget.peak(), 1000);
}

}  // namespace
}  // namespace sgrpo::image
