// The external verifier against programs that behave and programs that do not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "command_fixture.h"
#include "sgrpo/core/interrupt.h"

namespace sgrpo::verifier {
namespace {

/// The status of one row that the program answers with `line`.
std::string answered(const std::string& line) {
  return statuses(shell("read x; cat <<'EOF'\n" + line + "\nEOF\nread x")
                      ->verify_all(samples({"x"}), {.row_s = 5}));
}

size_t num_open_files() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

TEST(Command, one_process_judges_many_rows_in_order) {
  const auto verifier =
      shell("n=0; while read -r x; do n=$((n+1)); echo \"{\\\"reward\\\": 0.$n}\"; done");
  for (int batch = 0; batch < 3; ++batch) {
    const auto verdicts = verifier->verify_all(samples({"a", "b", "c"}), {.row_s = 5});
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(verdicts[static_cast<size_t>(i)].reward,
                std::stod("0." + std::to_string(3 * batch + i + 1)));
    }
  }
}

TEST(Command, row_reaches_the_program_as_one_ascii_line) {
  const std::string folder = ::testing::TempDir();
  const std::string path = folder + "/sgrpo_command_row_" + std::to_string(getpid());
  const auto verifier = shell("read -r x; printf %s \"$x\" > " + path + "; echo '{\"reward\": 1}'");
  const core::Json columns = {{"id", "r1"}, {"extra", 7}};
  verifier->verify_all({{"caf\xC3\xA9\n\xFF", "x\"y", &columns, true}}, {.row_s = 5});
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::filesystem::remove(path);
  EXPECT_EQ(line,
            "{\"id\":1,\"completion\":\"caf\\u00e9\\n\\ufffd\",\"ground_truth\":\"x\\\"y\","
            "\"row\":{\"id\":\"r1\",\"extra\":7},\"is_truncated\":true}");
}

TEST(Command, answers_are_read_and_checked) {
  EXPECT_EQ(answered(R"({"reward": 1})"), "correct");
  EXPECT_EQ(answered(R"({"reward": 0.5})"), "incorrect");
  EXPECT_EQ(answered(R"({"reward": 0.5, "correct": true})"), "correct");
  EXPECT_EQ(answered(R"({"reward": 0, "status": "unparsed"})"), "unparsed");
  EXPECT_EQ(answered(R"({"status": "timeout"})"), "timeout");
  EXPECT_EQ(answered(R"({"status": "error"})"), "error");
  EXPECT_EQ(answered(R"({"correct": false})"), "incorrect");
  EXPECT_EQ(answered(R"({"reward": 1, "id": 1})"), "correct");
  EXPECT_EQ(answered(R"({"reward": 1, "id": 2})"), "error");
  EXPECT_EQ(answered(R"({"reward": 1.5})"), "error");
  EXPECT_EQ(answered(R"({"reward": -0.1})"), "error");
  EXPECT_EQ(answered(R"({"reward": "1"})"), "error");
  EXPECT_EQ(answered(R"({"reward": NaN})"), "error");
  EXPECT_EQ(answered(R"({"correct": true, "status": "incorrect"})"), "error");
  EXPECT_EQ(answered(R"({"reward": 1, "status": "fine"})"), "error");
  EXPECT_EQ(answered("{}"), "error");
  EXPECT_EQ(answered("[1]"), "error");
  EXPECT_EQ(answered(""), "error");
  EXPECT_EQ(answered("\xFF\xFE"), "error");
}

TEST(Command, slow_row_times_out_and_the_next_are_judged) {
  const auto verifier = shell(kJudge);
  const auto start = std::chrono::steady_clock::now();
  const auto verdicts =
      verifier->verify_all(samples({"good", "slow", "half", "good"}), {.row_s = 0.5});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(statuses(verdicts), "correct timeout incorrect correct");
  EXPECT_EQ(verdicts[2].reward, 0.5);
  EXPECT_GE(seconds.count(), 0.5);
  EXPECT_LT(seconds.count(), 10.0);  // not the 60 s that the program sleeps
}

TEST(Command, start_has_a_time_of_its_own) {
  testing::LogCapture warnings;
  const auto slow_start = shell("sleep 0.7; " + std::string(kJudge));
  EXPECT_EQ(statuses(slow_start->verify_all(samples({"good", "slow"}), {.row_s = 0.3})),
            "correct timeout");
  EXPECT_EQ(
      statuses(shell("sleep 60; read x")->verify_all(samples({"x", "y", "z"}), {.start_s = 0.2})),
      "timeout error error")
      << "who does not start is not started again for every row";
  EXPECT_NE(
      warnings.text().find("read no row within verifier.start_timeout_s = 0.2 s of its start"),
      std::string::npos)
      << warnings.text();
}

TEST(Command, crash_masks_its_row_and_the_message_has_status_and_stderr) {
  testing::LogCapture warnings;
  EXPECT_EQ(statuses(shell(kJudge)->verify_all(samples({"good", "crash", "good", "abort", "good"}),
                                               {.row_s = 5})),
            "correct error correct error correct");
  EXPECT_NE(
      warnings.text().find("command 'sh' ended before it answered (exit status 3; stderr ends "
                           "with 'out of luck')"),
      std::string::npos)
      << warnings.text();
  EXPECT_NE(warnings.text().find("ended by signal 11"), std::string::npos) << warnings.text();
}

TEST(Command, garbage_masks_its_row_and_is_quoted) {
  testing::LogCapture warnings;
  EXPECT_EQ(
      statuses(
          shell("read x; echo Loading model; read x")->verify_all(samples({"a"}), {.row_s = 5})),
      "error");
  EXPECT_NE(warnings.text().find("wrote 'Loading model', expected one JSON object a line"),
            std::string::npos)
      << warnings.text();
}

TEST(Command, second_line_for_a_row_never_becomes_the_next_rows_verdict) {
  const auto verifier = shell(R"(while read -r line; do
    echo '{"reward": 1}'; case "$line" in *first*) echo '{"reward": 1}';; esac; done)");
  verifier->verify_all(samples({"first"}), {.row_s = 5});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(statuses(verifier->verify_all(samples({"x", "x"}), {.row_s = 5})), "correct correct");
}

/// A program that answers every row twice, the second time `seconds` late; `id`: with the row's id.
std::unique_ptr<Verifier> double_answers(const std::string& seconds, bool has_id) {
  const std::string id = has_id ? ", \\\"id\\\": ${line#*:}" : "";
  const std::string echo = "; echo \"{\\\"reward\\\": ";
  return shell("while read -r line; do line=${line%%,*}" + echo + "1" + id + "}\"; sleep " +
               seconds + echo + "0" + id + "}\"; done");
}

TEST(Command, late_second_lines_mask_what_they_may_have_replaced) {
  testing::LogCapture warnings;
  const auto verdicts =
      double_answers("0.005", false)->verify_all(samples({"a", "b", "c", "d"}), {.row_s = 5});
  // The first line a process writes is right; after a restart that is another row's.
  EXPECT_EQ(verdicts[0].status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kError);
  for (const Verdict& verdict : verdicts) {
    EXPECT_TRUE(!verdict.is_valid() || verdict.reward == 1.0) << to_string(verdict.status);
  }
  EXPECT_NE(warnings.text().find("wrote more lines than it got, so that verdicts may have taken "
                                 "another row's place; write one line a row, with its \"id\""),
            std::string::npos)
      << warnings.text();
}

TEST(Command, late_second_lines_with_the_rows_id_do_no_harm) {
  const auto verifier = double_answers("0.005", true);
  EXPECT_EQ(statuses(verifier->verify_all(samples({"a", "b", "c", "d"}), {.row_s = 5})),
            "correct correct correct correct");
  EXPECT_EQ(statuses(verifier->verify_all(samples({"e"}), {.row_s = 5})), "correct");
}

TEST(Command, answer_items_and_comment_reach_the_verdict) {
  const auto verifier = shell(R"(read x; echo '{"reward": 0.5, "answer": "boot", "comment": "half",
    "answer_span": {"begin": 1, "end": 3},
    "items": [{"begin": 0, "end": 2, "reward": 1}, {"begin": 2, "end": 4, "reward": 0}]}' |
    tr -d '\n'; echo; read x)");
  const Verdict verdict = verifier->verify_all(samples({"abcd"}), {.row_s = 5}).at(0);
  EXPECT_EQ(verdict.answer, "boot");
  EXPECT_EQ(verdict.comment, "half");
  EXPECT_EQ(*verdict.answer_span, (TextSpan{.begin = 1, .end = 3}));
  ASSERT_EQ(verdict.items.size(), 2U);
  EXPECT_EQ(verdict.items[1].span, (TextSpan{.begin = 2, .end = 4}));
  EXPECT_EQ(verdict.items[0].reward, 1.0);
  EXPECT_EQ(answered(R"({"reward": 1, "answer": ["x"]})"), "error");
  EXPECT_EQ(answered(R"({"reward": 1, "answer_span": {"begin": 0, "end": 9}})"), "error");
  EXPECT_EQ(answered(R"({"reward": 1, "items": [{"begin": 0, "end": 1}]})"), "error");
  EXPECT_EQ(answered(R"({"reward": 1, "status": "truncated"})"), "error");
}

TEST(Command, program_that_always_fails_is_given_up_after_max_restarts) {
  testing::LogCapture warnings;
  const std::string path =
      ::testing::TempDir() + "/sgrpo_command_starts_" + std::to_string(getpid());
  const auto verifier = shell("echo x >> " + path + "; exit 1", 2);
  const auto verdicts =
      verifier->verify_all(samples(std::vector<std::string>(50, "x")), {.row_s = 5});
  for (const Verdict& verdict : verdicts) EXPECT_EQ(verdict.status, VerdictStatus::kError);
  std::ifstream file(path);
  const std::string starts((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  EXPECT_EQ(starts, "x\nx\nx\n");
  EXPECT_NE(warnings.text().find("failed 3 rows in a row; the rest of the batch is not judged"),
            std::string::npos)
      << warnings.text();
}

TEST(Command, grandchildren_die_even_in_sessions_of_their_own) {
  const std::string path = ::testing::TempDir() + "/sgrpo_command_pids_" + std::to_string(getpid());
  const auto verifier =
      shell("read x; sleep 1000 & echo $! >> " + path + "; setsid sh -c 'echo $$ >> " + path +
            "; exec sleep 1000' & (setsid setsid sh -c 'echo $$ >> " + path +
            "; sleep 1000; true' &) ; wait");
  EXPECT_EQ(statuses(verifier->verify_all(samples({"x"}), {.row_s = 1.0})), "timeout");
  std::ifstream file(path);
  std::vector<std::string> pids;
  for (std::string pid; std::getline(file, pid);) pids.push_back(pid);
  std::filesystem::remove(path);
  ASSERT_EQ(pids.size(), 3U);
  for (const std::string& pid : pids) {
    for (int i = 0; i < 100 && is_alive(pid); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_FALSE(is_alive(pid)) << pid;
  }
}

TEST(Command, children_without_an_environment_and_fast_forkers_die_with_the_program) {
  const std::string path =
      ::testing::TempDir() + "/sgrpo_command_forks_" + std::to_string(getpid());
  const std::string chain = path + ".sh";
  std::ofstream(chain) << "echo $$ >> " << path << "\nsleep 0.01\nsh " << chain << " &\n";
  const auto verifier = shell("read x; setsid env -i sh -c 'echo $$ >> " + path +
                              "; exec sleep 1000' & setsid env -i PATH=\"$PATH\" sh " + chain +
                              " & wait; sleep 1000");
  EXPECT_EQ(statuses(verifier->verify_all(samples({"x"}), {.row_s = 0.5})), "timeout");
  std::filesystem::remove(chain);
  const auto last_pids = [&] {
    std::ifstream file(path);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  };
  const std::string before = last_pids();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(last_pids(), before) << "a chain of processes goes on";
  std::istringstream lines(before);
  int64_t count = 0;
  for (std::string pid; std::getline(lines, pid); ++count) EXPECT_FALSE(is_alive(pid)) << pid;
  EXPECT_GT(count, 3);
  std::filesystem::remove(path);
}

TEST(Command, program_sees_the_named_variables_only) {
  setenv("SGRPO_TEST_SECRET", "1", 1);
  setenv("SGRPO_TEST_KEY", "1", 1);
  const char* const script =
      R"(read x; if [ "$PATH$HOME" ] && [ -z "$SGRPO_TEST_SECRET" ] && [ "$SGRPO_TEST_KEY" = "$1" ]
         then echo '{"reward": 1}'; else echo '{"reward": 0}'; fi; read x)";
  const auto verifier = [&](const std::vector<std::string>& names, const char* expected) {
    return make_command({{"argv", {"sh", "-c", script, "sh", expected}}, {"env", names}});
  };
  EXPECT_EQ(statuses(verifier({}, "")->verify_all(samples({"x"}), {.row_s = 5})), "correct");
  EXPECT_EQ(statuses(verifier({"SGRPO_TEST_KEY"}, "1")->verify_all(samples({"x"}), {.row_s = 5})),
            "correct");
}

TEST(Command, memory_is_limited) {
  const char* const script = R"(read x; x=$(head -c 200000000 /dev/zero | tr '\0' x)
    echo '{"reward": 1}'; read x)";
  const auto status = [&](double gib) {
    return statuses(make_command({{"argv", {"sh", "-c", script}}, {"memory_gib", gib}})
                        ->verify_all(samples({"x"}), {.row_s = 30}));
  };
  EXPECT_EQ(status(0.05), "error");
  EXPECT_EQ(status(8), "correct");
}

TEST(Command, ended_program_is_seen_though_a_grandchild_holds_its_output) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(
      statuses(shell("read x; sleep 1000 & exit 0")->verify_all(samples({"x"}), {.row_s = 30})),
      "error");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 10.0);
}

TEST(Command, endless_output_is_cut) {
  testing::LogCapture warnings;
  EXPECT_EQ(
      statuses(shell("read x; exec cat /dev/zero")->verify_all(samples({"x"}), {.row_s = 20})),
      "error");
  EXPECT_NE(warnings.text().find("wrote a line of more than 262144 bytes"), std::string::npos)
      << warnings.text();
  EXPECT_EQ(statuses(shell("exec yes")->verify_all(samples({"x"}), {.row_s = 20})), "error");
}

TEST(Command, flood_on_stderr_does_not_block_the_program) {
  const auto verifier =
      shell("read x; head -c 3000000 /dev/zero >&2; echo '{\"reward\": 1}'; read x");
  EXPECT_EQ(statuses(verifier->verify_all(samples({"x"}), {.row_s = 20})), "correct");
}

TEST(Command, program_that_does_not_read_times_out_on_a_long_row) {
  const auto verifier = shell("exec sleep 1000");
  EXPECT_EQ(statuses(verifier->verify_all(samples({std::string(1 << 20, 'x')}), {.start_s = 0.3})),
            "timeout");
}

TEST(Command, program_that_closed_its_input_is_an_error_not_a_signal) {
  const auto verifier = shell("exec 0<&-; sleep 0.2; exit 0");
  EXPECT_EQ(statuses(verifier->verify_all(samples({std::string(1 << 20, 'x')}), {.row_s = 5})),
            "error");
}

TEST(Command, nothing_is_left_behind) {
  {
    const auto warm = shell(kJudge);
    warm->verify_all(samples({"good"}), {.row_s = 5});
  }
  const size_t before = num_open_files();
  for (int i = 0; i < 20; ++i) {
    const auto verifier = shell(kJudge);
    verifier->verify_all(samples({"good", "crash", "good"}), {.row_s = 5});
  }
  EXPECT_EQ(num_open_files(), before);
  EXPECT_FALSE(has_children());
}

TEST(Command, missing_program_is_refused_before_the_run) {
  const auto message = [](const core::Json& params) -> std::string {
    try {
      make_command(params);
    } catch (const core::UserError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({{"argv", {"no-such-judge"}}}),
            "verifier.params.argv[0] is 'no-such-judge', expected a program of PATH; there is none "
            "of that name");
  EXPECT_EQ(message({{"argv", {"/no/judge"}}}),
            "verifier.params.argv[0] is '/no/judge', expected an executable file; there is none");
  EXPECT_EQ(message(core::Json::object()),
            "verifier.params.argv is missing: expected the program and its arguments, a list");
  EXPECT_EQ(message({{"argv", core::Json::array({1})}}),
            "verifier.params.argv[0] is 1, expected a string");
}

TEST(Command, stop_request_interrupts_a_waiting_row) {
  const auto verifier = shell(kJudge);
  std::thread stopper([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    core::request_stop(true);
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(verifier->verify_all(samples({"slow"}), {.row_s = 60}), core::Interrupted);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  stopper.join();
  core::request_stop(false);
  EXPECT_LT(seconds.count(), 10.0);
  EXPECT_FALSE(has_children());
}

TEST(Command, verifier_set_judges_with_it_inside_tags) {
  VerifierOptions options;
  options.name = "tagged";
  options.params = {{"verifier", "command"}, {"params", {{"argv", {"sh", "-c", kJudge}}}}};
  options.timeout_s = 5;
  const VerifierSet set(options, core::Json::object(), core::Json::array());
  std::vector<VerifierSet::Job> jobs;
  for (int i = 0; i < 60; ++i) {
    const std::string text = i % 3 == 0   ? "good"
                             : i % 3 == 1 ? "<answer>good</answer>"
                                          : "<answer>half</answer>";
    jobs.push_back({"", {text, "truth", nullptr, false}});
  }
  const auto verdicts = set.judge(jobs);
  for (size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i].reward, i % 3 == 0 ? 0.0 : i % 3 == 1 ? 1.0 : 0.5) << i;
  }
}

}  // namespace
}  // namespace sgrpo::verifier
