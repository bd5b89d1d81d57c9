#include "distributed/liveness.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "distributed/store_text.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::distributed {
namespace {

using core::Json;

constexpr double kRound = 0.5;  // seconds between two looks

/// Phases that say nothing while they last, and may last.
bool has_own_limit(const std::string& doing) {
  for (const char* phase : {"start", "load", "save", "verify", "validate"}) {
    if (core::starts_with(doing, phase)) return true;
  }
  return false;
}
constexpr double kOwnLimit = 1800.0;

std::string beat_key(int64_t rank) { return core::str("beat/", rank); }
constexpr const char* kErrorKey = "error";
constexpr const char* kNoStore = "rank 0 is gone: the store that it keeps does not answer";

}  // namespace

Liveness::Liveness(Store store, int64_t rank, int64_t size, const Limits& limits)
    : store_(std::move(store)),
      rank_(rank),
      size_(size),
      limits_(limits),
      seen_(static_cast<size_t>(size)) {
  say();
  watch_ = std::thread([this] { watch(); });
  guard_ = std::thread([this] { guard(); });
}

Liveness::~Liveness() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  watch_.join();
  guard_.join();
}

void Liveness::note(const std::string& doing) {
  core::note_progress();
  const std::lock_guard lock(mutex_);
  doing_ = doing;
}

void Liveness::begin_wait() {
  num_waits_.fetch_add(1);
  is_waiting_.store(true);
}

void Liveness::end_wait() {
  is_waiting_.store(false);
  core::note_progress();
}

void Liveness::abort(const std::string& reason) {
  try {
    put(*store_, kErrorKey, core::dump_ascii(Json{{"rank", rank_}, {"reason", reason}}));
  } catch (const std::exception&) {  // who reads it is gone
  }
  is_leaving_.store(true);
}

void Liveness::leave() { is_leaving_.store(true); }

void Liveness::meet() { is_met_.store(true); }

std::string Liveness::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::string Liveness::failure_soon(const std::string& otherwise) const {
  std::unique_lock lock(mutex_);
  // Rounds take longer on a machine that is busy; whoever finds the reason wakes this.
  const std::chrono::duration<double> time(4 * limits_.silence_s);
  changed_.wait_for(lock, time, [this] { return !failure_.empty(); });
  return failure_.empty() ? otherwise : failure_;
}

/// Whether it is time to stop.
bool Liveness::rest(double seconds) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return is_stopping_; });
  return is_stopping_;
}

void Liveness::say() {
  std::string doing;
  {
    const std::lock_guard lock(mutex_);
    doing = doing_;
  }
  const Json beat = {{"count", ++count_},
                     {"progress", core::progress_count()},
                     {"waits", is_waiting_.load()},
                     {"collective", num_waits_.load()},
                     {"leaving", is_leaving_.load()},
                     {"doing", doing}};
  put(*store_, beat_key(rank_), core::dump_ascii(beat));
}

void Liveness::look() {
  if (has(*store_, kErrorKey)) {
    const Json error = core::parse_json(get(*store_, kErrorKey), "the run's store");
    if (error.at("rank").get<int64_t>() != rank_) {
      return fail(core::str(
          "rank ", error.at("rank").get<int64_t>(), ": ", error.at("reason").get<std::string>()));
    }
  }
  for (int64_t other = 0; other < size_; ++other) {
    if (other == rank_ || !has(*store_, beat_key(other))) continue;
    look_at(other, get(*store_, beat_key(other)));
  }
}

void Liveness::look_at(int64_t rank, const std::string& beat) {
  Seen& seen = seen_[static_cast<size_t>(rank)];
  if (beat == seen.beat) {
    // Counted in own rounds: a machine that stood still has seen no silence.
    if (static_cast<double>(++seen.unchanged) * kRound < limits_.silence_s) return;
    return fail(core::str("rank ",
                          rank,
                          " is gone: no sign of life for ",
                          limits_.silence_s,
                          " s (it was last in ",
                          seen.doing,
                          ")"));
  }
  const Json now = core::parse_json(beat, "the run's store");
  seen.beat = beat;
  seen.unchanged = now.at("leaving").get<bool>() ? -1000000 : 0;
  seen.doing = core::str(
      now.at("doing").get<std::string>(), ", collective ", now.at("collective").get<int64_t>());
  const auto progress = now.at("progress").get<int64_t>();
  const bool stands = progress == seen.progress && !now.at("waits").get<bool>();
  seen.progress = progress;
  seen.stalled_seconds = stands ? seen.stalled_seconds + kRound : 0.0;
  const double limit =
      has_own_limit(seen.doing) ? std::max(kOwnLimit, limits_.timeout_s) : limits_.timeout_s;
  if (seen.stalled_seconds < limit) return;
  fail(core::str("rank ",
                 rank,
                 " hangs: no progress for ",
                 limit,
                 " s in ",
                 seen.doing,
                 " (distributed.timeout_s)"));
}

void Liveness::fail(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = reason;
  }
  changed_.notify_all();
  if (limits_.ends_process) core::request_stop();  // phases that poll end at once
}

/// One round after another until something is wrong.
void Liveness::watch() {
  while (!rest(kRound) && failure().empty()) {
    try {
      say();
      look();
    } catch (const std::exception& error) {
      if (is_leaving_.load()) return;
      fail(kNoStore);
    }
    ++num_rounds_;
  }
}

/// Sees that rounds go on. Once something is wrong the main thread has a while to end the process
/// with more than a message.
void Liveness::guard() {
  int64_t seen = -1;
  double silent = 0.0;
  while (failure().empty()) {
    if (rest(kRound)) return;
    const int64_t rounds = num_rounds_.load();
    silent = rounds == seen ? silent + kRound : 0.0;
    seen = rounds;
    if (silent >= limits_.silence_s + 2 * kRound && !is_leaving_.load()) fail(kNoStore);
  }
  if (is_leaving_.load() || rest(limits_.grace_s)) return;
  if (is_met_.load() || is_leaving_.load() || !limits_.ends_process) return;
  std::fprintf(stderr, "sgrpo: error: %s\n", failure().c_str());
  ::_exit(1);
}

}  // namespace sgrpo::distributed
