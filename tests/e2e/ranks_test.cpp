// Several processes train as one: what they compute, and how they end.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cmath>

#include "e2e/tiny_run.h"

namespace sgrpo::e2e {
namespace {

/// A port that nobody listens on now.
int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  return ::ntohs(address.sin_port);
}

bool is_time(const std::string& name) {
  for (const char* prefix : {"timing_s/", "perf/", "mem/", "step_time", "time"})
    if (core::starts_with(name, prefix)) return true;
  return false;
}

class Ranks : public TinyRun {
 protected:
  /// One rank of `size`, as a launcher would start it.
  std::unique_ptr<Process> start(int64_t rank, int64_t size, int port, const Words& words) const {
    Words all = {"env",
                 core::str("RANK=", rank),
                 core::str("LOCAL_RANK=", rank),
                 core::str("WORLD_SIZE=", size),
                 core::str("LOCAL_WORLD_SIZE=", size),
                 "MASTER_ADDR=127.0.0.1",
                 core::str("MASTER_PORT=", port),
                 "OMP_NUM_THREADS=1"};
    for (const std::string& word : command(words)) all.push_back(word);
    const std::filesystem::path folder = scratch_ / core::str("rank", rank);
    std::filesystem::create_directories(folder);
    return std::make_unique<Process>(all, folder);
  }
  /// N ranks through scripts/launch.sh.
  Words launched(int64_t ranks, const Words& words) const {
    Words all = {
        "bash", (testing::kRepository / "scripts/launch.sh").string(), "-n", core::str(ranks)};
    for (const std::string& word : command(words)) all.push_back(word);
    return all;
  }
  std::vector<Json> metrics(const std::string& run) const {
    const std::filesystem::path file = scratch_ / run / "metrics.jsonl";
    return std::filesystem::exists(file) ? testing::read_jsonl(file) : std::vector<Json>();
  }
  Words long_run(const std::string& output) const {
    return {"train",
            path("run.yaml"),
            "output_dir=" + path(output),
            "eval.every=0",
            "trainer.save_every=1",
            "trainer.steps=1000000"};
  }
};

TEST_F(Ranks, two_and_three_train_as_one) {
  prepare();
  // So small a rate that what differs in the last digits moves no sampled token.
  const Words options = {"trainer.steps=3",
                         "optim.lr=1e-6",
                         "optim.eps=1e-4",
                         "trainer.prompts_per_step=5",
                         "algorithm.minibatches_per_rollout=2",
                         "rollout.filter_groups=zero_spread",
                         "rollout.max_generation_rounds=2"};
  const auto words = [&](const std::string& output) {
    Words all = {"train", path("run.yaml"), "output_dir=" + path(output)};
    all.insert(all.end(), options.begin(), options.end());
    return all;
  };
  succeed(words("one"));
  const auto expected = metrics("one");
  ASSERT_EQ(expected.size(), 4U);
  for (const int64_t ranks : {2, 3}) {
    const std::string name = core::str("of", ranks);
    const Outcome outcome = Process(launched(ranks, words(name)), scratch_.path()).finish();
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto rows = metrics(name);
    ASSERT_EQ(rows.size(), expected.size());
    for (size_t step = 0; step < rows.size(); ++step) {
      EXPECT_EQ(rows[step].size(), expected[step].size());
      for (const auto& [key, value] : expected[step].items()) {
        // The gap between two passes of one model is rounding alone.
        if (is_time(key) || core::starts_with(key, "sampling/")) continue;
        ASSERT_TRUE(rows[step].contains(key)) << key;
        if (!value.is_number()) continue;
        const auto number = value.get<double>();
        EXPECT_NEAR(rows[step][key].get<double>(), number, 1e-5 * std::abs(number) + 1e-6)
            << ranks << " ranks, step " << step << ", " << key;
      }
      if (step == 0) continue;
      const std::string file = core::str("/completions/step-00000", step, ".jsonl");
      const auto own = testing::read_jsonl(scratch_ / (name + file));
      const auto alone = testing::read_jsonl(scratch_ / ("one" + file));
      ASSERT_EQ(own.size(), alone.size());
      for (size_t i = 0; i < own.size(); ++i) {
        for (const char* key : {"prompt_id", "index", "completion_ids", "reward", "origin"})
          EXPECT_EQ(own[i].at(key), alone[i].at(key)) << file << ", row " << i;
      }
    }
  }
}

TEST_F(Ranks, supervised_steps_and_validation_are_shared_too) {
  prepare();
  succeed({"sft", path("run.yaml"), "output_dir=" + path("one"), "optim.eps=1e-4"});
  const Outcome outcome =
      Process(launched(2, {"sft", path("run.yaml"), "output_dir=" + path("two"), "optim.eps=1e-4"}),
              scratch_.path())
          .finish();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto one = metrics("one"), two = metrics("two");
  ASSERT_EQ(two.size(), one.size());
  for (size_t step = 0; step < one.size(); ++step) {
    for (const char* key : {"loss", "grad_norm", "val/val/loss", "val/val/pass@1", "val/val/n"}) {
      ASSERT_EQ(two[step].contains(key), one[step].contains(key)) << key;
      if (!one[step].contains(key)) continue;
      const auto number = one[step][key].get<double>();
      EXPECT_NEAR(two[step][key].get<double>(), number, 1e-5 * std::abs(number)) << key;
    }
  }
}

TEST_F(Ranks, a_killed_rank_is_named_and_the_run_goes_on_from_its_last_step) {
  prepare();
  const int port = free_port();
  const auto first = start(0, 2, port, long_run("run")),
             second = start(1, 2, port, long_run("run"));
  ASSERT_TRUE(first->wait_for([&] { return metrics("run").size() >= 3; }));
  second->send(SIGKILL);
  EXPECT_EQ(second->finish().code, 128 + SIGKILL);
  const Outcome outcome = first->finish();
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.last_error_line().find("rank 1 is gone"), std::string::npos)
      << outcome.last_error_line();
  const size_t done = metrics("run").size();
  const Outcome next = succeed({"train",
                                path("run.yaml"),
                                "output_dir=" + path("run"),
                                core::str("trainer.steps=", done + 1)});
  EXPECT_NE(next.err.find("continuing after step "), std::string::npos);
  const auto rows = metrics("run");
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].at("step"), i) << "no gap, no twin";
}

TEST_F(Ranks, a_signal_to_one_rank_stops_all_and_another_number_of_ranks_goes_on) {
  prepare();
  const int port = free_port();
  {
    const auto first = start(0, 2, port, long_run("run")),
               second = start(1, 2, port, long_run("run"));
    ASSERT_TRUE(first->wait_for([&] { return metrics("run").size() >= 2; }));
    second->send(SIGTERM);
    for (const auto* each : {&first, &second}) {
      const Outcome outcome = (*each)->finish();
      EXPECT_EQ(outcome.code, 75);
      EXPECT_EQ(outcome.last_error_line().find("sgrpo: error: stopped by a signal"), 0U)
          << outcome.last_error_line();
    }
  }
  const size_t done = metrics("run").size() - 1;
  const Outcome next = Process(launched(3,
                                        {"train",
                                         path("run.yaml"),
                                         "output_dir=" + path("run"),
                                         core::str("trainer.steps=", done + 2)}),
                               scratch_.path())
                           .finish();
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_NE(next.err.find(core::str("continuing after step ", done)), std::string::npos);
  EXPECT_EQ(metrics("run").size(), done + 3);
}

TEST_F(Ranks, settings_that_differ_are_named_on_every_rank) {
  prepare();
  const int port = free_port();
  Words other = long_run("run");
  other.emplace_back("optim.lr=0.5");
  const auto first = start(0, 2, port, long_run("run")), second = start(1, 2, port, other);
  for (const auto* each : {&first, &second}) {
    const Outcome outcome = (*each)->finish();
    EXPECT_EQ(outcome.code, 2);
    const std::string line = outcome.last_error_line();
    EXPECT_EQ(line.find("sgrpo: error: optim.lr is 0.5 on rank 1 ("), 0U) << line;
    EXPECT_NE(line.find("all ranks must be given the same"), std::string::npos) << line;
  }
}

TEST_F(Ranks, a_port_that_is_taken_and_too_many_ranks_are_told) {
  prepare();
  const int port = free_port();
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(socket, 1), 0);
  const Outcome taken = start(0, 2, port, long_run("run"))->finish();
  ::close(socket);
  EXPECT_EQ(taken.code, 2);
  EXPECT_EQ(taken.last_error_line(),
            core::str("sgrpo: error: port ",
                      port,
                      " of 127.0.0.1 is taken by another program, or by another run: choose "
                      "another MASTER_PORT for all ranks"));
  EXPECT_EQ(start(0, 9, port, long_run("run"))->finish().last_error_line(),
            "sgrpo: error: trainer.prompts_per_step is 4, but there are 9 ranks: expected a prompt "
            "or more for each");
  const Outcome alone = start(1, 2, port, {"lint", path("train.jsonl")})->finish();
  EXPECT_EQ(alone.code, 0);
  EXPECT_EQ(alone.last_error_line(), "rank 1: `sgrpo lint` runs on rank 0 alone");
}

}  // namespace
}  // namespace sgrpo::e2e
