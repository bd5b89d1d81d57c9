// Several processes of one external verifier, and what they may hold together.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <set>

#include "command_fixture.h"

namespace sgrpo::verifier {
namespace {

std::vector<Verdict> judge(int64_t workers, const std::string& script, size_t rows) {
  VerifierOptions options;
  options.name = "command";
  options.params = {{"argv", {"sh", "-c", script}}};
  options.workers = workers;
  options.sandbox = Sandbox::kOff;
  options.timeout_s = 60;
  const VerifierSet set(options, core::Json::object(), core::Json::array());
  std::vector<VerifierSet::Job> jobs;
  for (size_t i = 0; i < rows; ++i) jobs.push_back({"", {std::to_string(i), "x", nullptr, false}});
  return set.judge(jobs);
}

/// Answers with its own process id, and the completion's number as the reward's last digit.
const char* const kTell = R"(while read -r line; do
  line=${line#*completion\":\"}; n=${line%%\"*}
  echo "{\"reward\": 0.$n, \"answer\": \"$$\"}"; done)";

TEST(CommandWorkers, rows_are_shared_out_among_as_many_processes_in_order) {
  for (const int64_t workers : {1, 3, 8}) {
    const auto verdicts = judge(workers, kTell, 8);
    std::set<std::string> processes;
    for (size_t i = 0; i < verdicts.size(); ++i) {
      EXPECT_EQ(verdicts[i].reward, std::stod("0." + std::to_string(i))) << i;
      processes.insert(verdicts[i].answer);
    }
    // A process that is done early may take another share.
    EXPECT_LE(processes.size(), static_cast<size_t>(workers));
    EXPECT_GE(processes.size(), 1U);
  }
}

TEST(CommandWorkers, processes_work_at_the_same_time) {
  // Each waits until the other has its row, too: one after the other would be late for ever.
  const std::string folder = ::testing::TempDir() + "/sgrpo_workers_" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  const auto verdicts = judge(2,
                              "read -r line; echo > " + folder + "/$$; while [ $(ls " + folder +
                                  " | wc -l) -lt 2 ]; do sleep 0.01; done; echo '{\"reward\": 1}'"
                                  "; read -r line",
                              2);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(statuses(verdicts), "correct correct");
}

TEST(CommandWorkers, program_that_hangs_at_one_row_does_not_hold_up_the_others) {
  VerifierOptions options;
  options.name = "command";
  options.params = {{"argv", {"sh", "-c", kJudge}}};
  options.workers = 4;
  options.timeout_s = 1.5;
  const VerifierSet set(options, core::Json::object(), core::Json::array());
  std::vector<VerifierSet::Job> jobs;
  for (const char* text : {"slow", "good", "slow", "good", "slow", "good", "slow", "half"})
    jobs.push_back({"", {text, "x", nullptr, false}});
  EXPECT_EQ(statuses(set.judge(jobs)),
            "timeout correct timeout correct timeout correct timeout incorrect");
}

TEST(Command, late_lines_of_a_slow_program_mask_what_they_may_have_replaced) {
  testing::LogCapture warnings;
  // Every row takes 0.3 s; the second line for it comes while the next one is judged.
  const char* const script = R"(n=0; while read -r line; do n=$((n+1)); sleep 0.3
    echo "{\"reward\": 0.$n}"; (sleep 0.1; echo "{\"reward\": 0.$n}") & done)";
  const auto verifier = make_command({{"argv", {"bash", "-c", script}}});
  const auto verdicts = verifier->verify_all(samples({"a", "b"}), {.row_s = 20});
  EXPECT_EQ(verdicts[0].reward, 0.1);
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kError) << verdicts[1].reward;
}

TEST(Command, memory_of_all_processes_together_is_limited) {
  testing::LogCapture warnings;
  // Three processes of 60 MB each, below the limit of one.
  const char* const script = R"(hold() { x=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 100; }
    read -r line; hold & hold & hold & wait; echo '{"reward": 1}'; read -r line)";
  const auto verifier =
      make_command({{"argv", {"bash", "-c", script}}, {"memory_gib", 0.125}, {"max_restarts", 0}});
  EXPECT_EQ(statuses(verifier->verify_all(samples({"x"}), {.row_s = 60})), "error");
  EXPECT_NE(warnings.text().find("killed: its processes held more than 134217728 bytes together"),
            std::string::npos)
      << warnings.text();
}

}  // namespace
}  // namespace sgrpo::verifier
