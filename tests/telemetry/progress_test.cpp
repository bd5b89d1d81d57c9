// The live displays: plain lines through a captured stderr, the bar through a pseudo terminal.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "sgrpo/core/log.h"
#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::telemetry {
namespace {

using namespace std::chrono_literals;

std::string without_times(std::string text) {
  for (size_t at = 0; (at = text.find(" elapsed", at)) != std::string::npos;) {
    const size_t end = std::min(text.find('\n', at), text.find("  r", at));
    const size_t begin = text.rfind("  ", at);
    text.erase(begin, end - begin);
    at = begin;
  }
  for (size_t at = text.find(" in 0:0"); at != std::string::npos; at = text.find(" in 0:0")) {
    text.erase(at, 8);
  }
  return text;
}

TEST(Progress, without_terminal_prints_start_tenths_and_end) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("train", 20);
    for (int step = 0; step < 20; ++step) progress.advance(1, "r 0.5");
  }
  const std::string text = without_times(::testing::internal::GetCapturedStderr());
  std::string expected = "train  0% (0/20)\n";
  for (int tenth = 1; tenth < 10; ++tenth) {
    expected += core::str("train  ", tenth * 10, "% (", tenth * 2, "/20)  r 0.5\n");
  }
  EXPECT_EQ(text, expected + "train: 20 of 20  r 0.5\n");
}

TEST(Progress, resumed_display_starts_where_it_was) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("train", 100, 55);
    progress.advance(2);
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.substr(0, 20), "train  55% (55/100) ") << text;
  EXPECT_NE(text.find("train: stopped at 57 of 100 after"), std::string::npos) << text;
}

TEST(Progress, silent_phase_gets_a_heartbeat) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("load", 4, 0, 0.02);
    std::this_thread::sleep_for(1s);  // fifty, on a machine that is not busy
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = 0; (at = text.find("load  0% (0/4)", at)) != std::string::npos; ++at) ++lines;
  EXPECT_GE(lines, 3u) << text;
}

TEST(Progress, outer_display_is_silent_while_an_inner_one_speaks) {
  ::testing::internal::CaptureStderr();
  {
    Progress outer("train", 4, 0, 0.001);
    for (int phase = 0; phase < 20; ++phase) {
      Progress inner("eval", 4, 0, 30.0);
      std::this_thread::sleep_for(5ms);
    }
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  size_t phases = 0;
  for (size_t end = 0, begin = 0; (begin = text.find("eval  0%", end)) != std::string::npos;) {
    end = text.find("eval: stopped", begin);
    ASSERT_NE(end, std::string::npos) << text;
    EXPECT_EQ(text.substr(begin, end - begin).find("train"), std::string::npos) << text;
    ++phases;
  }
  EXPECT_EQ(phases, 20u) << text;
}

/// stderr on a pseudo terminal of 60 columns while it lives.
class Terminal {
 public:
  Terminal() {
    winsize size{};
    size.ws_col = 60;
    size.ws_row = 20;
    if (::openpty(&master_, &slave_, nullptr, nullptr, &size) != 0) return;
    saved_ = ::dup(STDERR_FILENO);
    ::dup2(slave_, STDERR_FILENO);
  }
  ~Terminal() {
    restore();
    ::close(master_);
  }
  bool ok() const { return saved_ >= 0; }
  std::string text() {
    restore();
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
    std::string all, piece(4096, '\0');
    for (ssize_t got = 0; (got = ::read(master_, piece.data(), piece.size())) > 0;) {
      all.append(piece, 0, static_cast<size_t>(got));
    }
    return all;
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    saved_ = -1;
  }
  int master_ = -1, slave_ = -1, saved_ = -1;
};

TEST(Progress, on_a_terminal_redraws_one_line_below_log_lines) {
  Terminal terminal;
  if (!terminal.ok()) GTEST_SKIP() << "no pseudo terminals here";
  const auto start = std::chrono::steady_clock::now();
  {
    install_logging();
    Progress progress("train", 1000);
    for (int step = 0; step < 400; ++step) {
      progress.advance();
      std::this_thread::sleep_for(1ms);
    }
    core::info("saved");
  }
  core::set_log_sink(nullptr);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const std::string text = terminal.text();
  size_t redraws = 0;
  for (size_t at = 0; (at = text.find("\r\x1b[Ktrain ", at)) != std::string::npos; ++at) ++redraws;
  EXPECT_GE(redraws, 2u) << text;
  EXPECT_LE(static_cast<double>(redraws), 5.0 * seconds.count() + 3.0) << text;  // 5 a second
  EXPECT_NE(text.find("saved\r\ntrain "), std::string::npos) << text;  // the bar stands below again
  EXPECT_NE(text.find("train: stopped at 400 of 1000"), std::string::npos) << text;
}

TEST(Logging, without_terminal_lines_are_plain) {
  ::testing::internal::CaptureStderr();
  install_logging();
  core::info("loaded {} 100%");
  core::warn("two rows rejected");
  core::log(core::LogLevel::kDebug, "hidden");
  install_logging(true);
  core::info("hidden");
  core::log(core::LogLevel::kError, "shown");
  core::set_log_sink(nullptr);
  std::string text = ::testing::internal::GetCapturedStderr();
  ASSERT_EQ(text.size(),
            9u * 3 + std::string("info  loaded {} 100%\nwarn  two rows rejected\n"
                                 "error shown\n")
                         .size())
      << text;
  EXPECT_EQ(text[2], ':');
  EXPECT_EQ(text[5], ':');
  EXPECT_EQ(text.substr(9, 21), "info  loaded {} 100%\n");
  EXPECT_EQ(text.substr(39, 24), "warn  two rows rejected\n");
  EXPECT_EQ(text.substr(72), "error shown\n");
}

}  // namespace
}  // namespace sgrpo::telemetry
