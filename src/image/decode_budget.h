// A limit on the memory that concurrent decoders hold.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace sgrpo::image {

/// Bytes taken by all threads together never exceed the limit, except by one taker that alone needs
/// more: it waits until nobody else holds anything.
class DecodeBudget {
 public:
  explicit DecodeBudget(int64_t limit) : limit_(limit) {}

  /// Gives its bytes back when it goes.
  class Hold {
   public:
    Hold(DecodeBudget& budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
    ~Hold() { budget_.give_back(bytes_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    DecodeBudget& budget_;
    int64_t bytes_;
  };

  /// Waits until the bytes are free.
  [[nodiscard]] Hold take(int64_t bytes) {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return held_ == 0 || held_ + bytes <= limit_; });
    held_ += bytes;
    peak_ = std::max(peak_, held_);
    return {*this, bytes};
  }

  /// The most that was held at a time.
  int64_t peak() const {
    const std::lock_guard lock(mutex_);
    return peak_;
  }

 private:
  void give_back(int64_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      held_ -= bytes;
    }
    freed_.notify_all();
  }

  const int64_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  int64_t held_ = 0, peak_ = 0;
};

}  // namespace sgrpo::image
