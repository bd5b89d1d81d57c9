#include "sgrpo/core/interrupt.h"

#include <unistd.h>
#include <csignal>

#include <atomic>
#include <chrono>

namespace sgrpo::core {
namespace {

constexpr int kSecondInterrupt = 130;  // 128 + SIGINT, as a shell reports it

std::atomic<bool> stop{false};
std::atomic<int> num_interrupts{0};
std::atomic<int64_t> progress{0};
std::atomic<double> deadline{0.0};  // not for the handler
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "the handler may touch lock-free atomics only");

void on_signal(int signal) {
  stop.store(true, std::memory_order_relaxed);
  if (signal == SIGINT && num_interrupts.fetch_add(1) > 0) ::_exit(kSecondInterrupt);
}

/// nohup and shells without job control ignore these for what they start in the background.
bool is_ignored(int signal) {
  struct sigaction before {};
  return ::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN;
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const bool may_be_ignored = signal == SIGINT || signal == SIGHUP;
    if (!may_be_ignored || !is_ignored(signal)) ::sigaction(signal, &action, nullptr);
  }
  // A write that fails says why: a closed pipe and a limit on file sizes are no reasons to die.
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::signal(signal, SIG_IGN);
}

bool stop_requested() noexcept {
  note_progress();
  return stop.load(std::memory_order_relaxed) || deadline_is_over();
}

void note_progress() noexcept { progress.fetch_add(1, std::memory_order_relaxed); }

int64_t progress_count() noexcept { return progress.load(std::memory_order_relaxed); }

void set_deadline(double seconds) noexcept { deadline.store(seconds, std::memory_order_relaxed); }

bool deadline_is_over() noexcept {
  const double end = deadline.load(std::memory_order_relaxed);
  if (end <= 0.0) return false;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count() >= end;
}

void request_stop(bool value) noexcept {
  stop.store(value, std::memory_order_relaxed);
  if (!value) num_interrupts.store(0);
}

}  // namespace sgrpo::core
