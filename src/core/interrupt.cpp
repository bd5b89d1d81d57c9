#include "sgrpo/core/interrupt.h"

#include <unistd.h>
#include <csignal>

#include <atomic>

namespace sgrpo::core {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free,
              "the handler may touch lock-free atomics only");

void on_signal(int signal) {
  if (stop.exchange(true) && signal != SIGUSR1) ::_exit(128 + signal);
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

bool stop_requested() noexcept { return stop.load(std::memory_order_relaxed); }

void request_stop(bool value) noexcept { stop.store(value, std::memory_order_relaxed); }

}  // namespace sgrpo::core
