// What each signal does to the process, in processes of their own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <initializer_list>

#include "sgrpo/core/interrupt.h"

namespace sgrpo::core {
namespace {

/// Sends the signals to this process and leaves with 75 if a stop is then requested, else with 0.
[[noreturn]] void leave_after(std::initializer_list<int> signals) {
  request_stop(false);
  install_stop_signals();
  for (const int signal : signals) ::raise(signal);
  ::_exit(stop_requested() ? 75 : 0);
}

using StopSignals = ::testing::Test;

TEST_F(StopSignals, every_kind_of_request_sets_the_flag) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU})
    EXPECT_EXIT(leave_after({signal}), ::testing::ExitedWithCode(75), "") << signal;
}

TEST_F(StopSignals, further_ones_are_the_same_request) {
  EXPECT_EXIT(leave_after({SIGUSR1, SIGTERM, SIGTERM, SIGHUP, SIGINT, SIGXCPU, SIGTERM}),
              ::testing::ExitedWithCode(75),
              "");
}

TEST_F(StopSignals, second_interrupt_leaves_at_once) {
  EXPECT_EXIT(leave_after({SIGINT, SIGTERM, SIGINT}), ::testing::ExitedWithCode(130), "");
}

TEST_F(StopSignals, what_the_parent_ignores_stays_ignored) {
  for (const int signal : {SIGINT, SIGHUP}) {
    EXPECT_EXIT(
        {
          ::signal(signal, SIG_IGN);
          leave_after({signal, signal});
        },
        ::testing::ExitedWithCode(0),
        "")
        << signal;
  }
}

TEST_F(StopSignals, failed_writes_are_no_deaths) {
  EXPECT_EXIT(leave_after({SIGPIPE, SIGXFSZ}), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace sgrpo::core
