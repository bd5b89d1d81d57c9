// Whether the other ranks are alive: a thread with a link of its own, beside whatever the main
// thread computes or waits for, and one that needs no link, for when rank 0 keeps the store but no
// longer answers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "distributed/backends.h"

namespace sgrpo::distributed {

/// Every half second each rank says in the store how far it is, and looks at the others. A rank
/// that says nothing for 3 s is gone; one that says it makes no progress for `timeout_s`, while it
/// waits for nobody, hangs; a store that does not answer is rank 0's end. What is found is the
/// run's failure; the main thread has 3 s to meet it, then the process ends.
class Liveness {
 public:
  struct Limits {
    double timeout_s = 120.0;
    double silence_s = 3.0;
    double grace_s = 3.0;
    bool ends_process = true;  // false: tests, where ranks are threads
  };

  /// `store` must be this object's own link.
  Liveness(Store store, int64_t rank, int64_t size, const Limits& limits);
  /// Stops watching. Where the store hangs this does, too: such an object must be left alone.
  ~Liveness();

  void note(const std::string& doing);
  /// Between these calls a rank that makes no progress waits for others.
  void begin_wait();
  void end_wait();
  /// Tells the others why this rank ends, and stops watching them.
  void abort(const std::string& reason);
  /// From here on silence is no failure: ranks leave.
  void leave();

  std::string failure() const;
  /// As failure(), but after a link has broken: waits for the reason, which may be on its way.
  std::string failure_soon(const std::string& otherwise) const;
  /// The main thread has met the failure and ends by itself.
  void meet();

 private:
  struct Seen {
    std::string beat;
    int64_t count = -1, progress = -1;
    int unchanged = 0;           // own rounds without a beat
    double stalled_seconds = 0;  // without progress
    std::string doing;
  };

  void watch();
  void guard();
  void say();
  void look();
  void look_at(int64_t rank, const std::string& beat);
  void fail(const std::string& reason);
  bool rest(double seconds);

  Store store_;
  const int64_t rank_, size_;
  const Limits limits_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string doing_ = "start", failure_;
  bool is_stopping_ = false;
  std::atomic<bool> is_leaving_{false}, is_met_{false};
  std::atomic<int64_t> num_waits_{0};
  std::atomic<bool> is_waiting_{false};
  std::vector<Seen> seen_;
  int64_t count_ = 0;
  std::atomic<int64_t> num_rounds_{0};
  std::thread watch_, guard_;
};

}  // namespace sgrpo::distributed
