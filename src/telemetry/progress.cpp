#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/console.h"
#include "telemetry/progress_text.h"

namespace sgrpo::telemetry {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr Seconds kRedraw{0.2};  // at most 5 redraws a second
constexpr Seconds kTick{1.0};    // the elapsed time moves although nothing advances

int64_t tenth(const ProgressState& state) {
  return state.total > 0 ? state.done * 10 / state.total : 0;
}

}  // namespace

// One thread a display draws or gives the sign of life; advance() only changes numbers, so it costs
// next to nothing and may be called from anywhere.
struct Progress::Impl {
  Impl(ProgressState initial, double heartbeat_s)
      : state(std::move(initial)), heartbeat(heartbeat_s), terminal(Console::is_terminal()) {
    Console::instance().push(this);
    if (!terminal) print_line();
    timer = std::thread([this] { terminal ? draw_loop() : heartbeat_loop(); });
  }

  ~Impl() { finish(); }

  void advance(int64_t by, const std::string& note) {
    bool complete = false;
    {
      const std::lock_guard lock(mutex);
      if (finished) return;
      const int64_t before = tenth(state);
      state.done += by;
      state.note = note;
      dirty = true;
      complete = state.total > 0 && state.done >= state.total;
      if (!terminal && !complete && tenth(state) != before) print_line();
    }
    if (complete) finish();
  }

  void finish() {
    {
      const std::lock_guard lock(mutex);
      if (finished) return;
      finished = true;
    }
    wake.notify_all();
    timer.join();
    update_elapsed();
    Console::instance().pop(this, progress_summary(state));
  }

  void update_elapsed() { state.elapsed = Seconds(Clock::now() - start).count(); }

  void print_line() {
    update_elapsed();
    Console::instance().print(progress_line(state));
    spoken = Clock::now();
  }

  void heartbeat_loop() {
    std::unique_lock lock(mutex);
    while (!finished) {
      const auto due = spoken + std::chrono::duration_cast<Clock::duration>(heartbeat);
      if (wake.wait_until(lock, due, [this] { return finished; })) return;
      if (Clock::now() < spoken + heartbeat) continue;  // advance() spoke meanwhile
      update_elapsed();
      Console::instance().print_if_innermost(this, progress_line(state));
      spoken = Clock::now();  // if this one was silent, the inner phase spoke for it
    }
  }

  void draw_loop() {
    std::unique_lock lock(mutex);
    auto drawn = Clock::time_point::min();
    while (!finished) {
      if (dirty || Clock::now() - drawn >= kTick) {
        update_elapsed();
        const size_t columns = Console::width() - 1;  // a full last column would wrap
        Console::instance().show(this, progress_bar(state, columns, Console::has_utf8()));
        drawn = Clock::now();
        dirty = false;
      }
      wake.wait_for(lock, kRedraw, [this] { return finished; });
    }
  }

  std::mutex mutex;
  std::condition_variable wake;
  ProgressState state;
  const Seconds heartbeat;
  const bool terminal;
  const Clock::time_point start = Clock::now();
  Clock::time_point spoken = start;  // when the last plain line was written
  bool dirty = true;
  bool finished = false;
  std::thread timer;
};

Progress::Progress(std::string label, int64_t total, int64_t done, double heartbeat_s)
    : impl_(Console::instance().is_progress_muted()
                ? nullptr
                : std::make_unique<Impl>(ProgressState{.label = std::move(label),
                                                       .note = "",
                                                       .total = total,
                                                       .done = done,
                                                       .first = done},
                                         heartbeat_s)) {}

Progress::~Progress() = default;

void Progress::advance(int64_t by, const std::string& note) {
  if (impl_) impl_->advance(by, note);
}

void Progress::finish() {
  if (impl_) impl_->finish();
}

}  // namespace sgrpo::telemetry
