// A stop inside a command that writes: exit code 75, and nothing half written.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "cli/program.h"
#include "cli/rows.h"
#include "cli/stoppable_input.h"
#include "sgrpo/core/interrupt.h"

namespace sgrpo::cli {
namespace {

class Stop : public ::testing::Test {
 protected:
  Stop() {
    testing::write_tiny_checkpoint(scratch_ / "model");
    core::request_stop();
  }
  ~Stop() override { core::request_stop(false); }

  void expect_stopped(const std::string& message, const std::vector<std::string>& arguments) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 75) << outcome.err;
    EXPECT_EQ(outcome.last_error_line(), "sgrpo: error: " + message);
  }
  bool is_tidy() const {
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
      const std::string name = entry.path().filename().string();
      if (name == "out" || core::starts_with(name, ".tmp-")) return false;
    }
    return true;
  }
  testing::Scratch scratch_;
};

TEST_F(Stop, export_writes_nothing) {
  expect_stopped("stopped by a signal while exporting: nothing was written",
                 {"export",
                  "--checkpoint",
                  (scratch_ / "model").string(),
                  "--output",
                  (scratch_ / "out").string()});
  EXPECT_TRUE(is_tidy());
}

TEST_F(Stop, init_writes_nothing) {
  const core::Json spec = {{"config", testing::tiny_config()},
                           {"preprocessor", testing::tiny_preprocessor()},
                           {"tokenizer", (scratch_ / "model" / "tokenizer.json").string()}};
  expect_stopped("stopped by a signal while weights are made: nothing was written",
                 {"init",
                  "--spec",
                  scratch_.write("s.yaml", spec.dump()),
                  "--output",
                  (scratch_ / "out").string()});
  EXPECT_TRUE(is_tidy());
}

TEST_F(Stop, logprobs_ends_before_the_next_row) {
  const auto input = scratch_.write("rows.jsonl",
                                    R"({"id": "a", "prompt": "what is this", "completion": "bag"})"
                                    "\n");
  expect_stopped("stopped by a signal while scoring",
                 {"logprobs",
                  "--model",
                  (scratch_ / "model").string(),
                  "--input",
                  input,
                  "--output",
                  (scratch_ / "scores.jsonl").string()});
  EXPECT_EQ(core::read_file(scratch_ / "scores.jsonl"), "") << "whole rows or none";
}

TEST(StoppableInput, signal_ends_the_wait_for_a_line_and_a_torn_line_is_no_row) {
  core::install_stop_signals();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  StoppableInput buffer(ends[0]);
  std::istream in(&buffer);
  ASSERT_EQ(::write(ends[1], "{}\n{\"to", 7), 7);
  std::atomic<bool> is_over{false};
  std::thread stopper([&, reader = ::pthread_self()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    ::pthread_kill(reader, SIGTERM);
    for (int i = 0; i < 50 && !is_over; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(is_over) << "still waiting for the rest of the line";
    EXPECT_EQ(::write(ends[1], "\n", 1), 1);
  });
  std::ostringstream out;
  RowWriter writer(out);
  int64_t num_rows = 0;
  EXPECT_EQ(testing::message_of<core::Interrupted>([&] {
              for_each_row(in, "stdin", writer, [&](const core::Json&, int64_t) { ++num_rows; });
            }),
            "interrupted at stdin:2");
  is_over = true;
  stopper.join();
  core::request_stop(false);
  EXPECT_EQ(num_rows, 1);
  EXPECT_EQ(out.str(), "");
  for (const int end : ends) ::close(end);
}

TEST(StoppableInput, reads_to_the_end_of_the_file) {
  const testing::Scratch scratch;
  const std::string text(100'000, 'x');
  const int file = ::open(scratch.write("in", text).c_str(), O_RDONLY);
  StoppableInput buffer(file);
  std::istream in(&buffer);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text);
  ::close(file);
}

}  // namespace
}  // namespace sgrpo::cli
