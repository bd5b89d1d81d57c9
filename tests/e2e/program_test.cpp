// The path of a user: init, sft, train, eval, generate, logprobs, export, report; and what a
// scheduler relies on: exit codes, signals, libraries.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "e2e/tiny_run.h"

namespace sgrpo::e2e {
namespace {

/// Number of the newest checkpoint, 0 without one. A fast run has removed step 3 before anybody
/// looks for it.
int64_t last_saved_step(const std::filesystem::path& folder) {
  std::error_code none_yet;
  int64_t last = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "checkpoints", none_yet)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) == 0) last = std::max<int64_t>(last, std::stoll(name.substr(5)));
  }
  return last;
}

using Program = TinyRun;

TEST_F(Program, whole_path_from_init_to_report) {
  prepare();
  succeed({"sft", path("run.yaml"), "output_dir=" + path("sft")});
  succeed({"train", path("run.yaml"), "model.path=" + path("sft"), "--output_dir", path("rl")});
  for (const char* run : {"sft", "rl"}) {
    const std::filesystem::path folder = scratch_ / run;
    EXPECT_EQ(testing::read_jsonl(folder / "metrics.jsonl").size(), 3U) << run;
    for (const char* file : {"config.yaml",
                             "report.html",
                             "checkpoints/latest/model/config.json",
                             "checkpoints/latest/model/tokenizer.json",
                             "checkpoints/latest/model/model.safetensors",
                             "checkpoints/latest/manifest.json",
                             "checkpoints/latest/state.json"})
      EXPECT_TRUE(std::filesystem::exists(folder / file)) << run << "/" << file;
    for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
      const std::set<std::string> pickles = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"};
      EXPECT_EQ(pickles.count(file.path().extension().string()), 0U) << file.path();
      EXPECT_EQ(file.path().filename().string().find(".tmp"), std::string::npos) << file.path();
    }
  }
  EXPECT_EQ(testing::read_jsonl(scratch_ / "rl/completions/step-000002.jsonl").size() % 4, 0U);

  // A run's folder, a checkpoint's and a model's are the same checkpoint.
  std::set<std::string> results;
  for (const char* model : {"rl", "rl/checkpoints/step-000002", "rl/checkpoints/latest/model"}) {
    const Outcome eval = succeed({"eval",
                                  "--model",
                                  path(model),
                                  "--data",
                                  path("val.jsonl"),
                                  "--json",
                                  "eval.max_new_tokens=6"});
    EXPECT_TRUE(core::parse_json(eval.out, "eval").contains("val/val/pass@1")) << eval.out;
    succeed({"generate",
             "--model",
             path(model),
             "--input",
             path("val.jsonl"),
             "--output",
             path("g.jsonl"),
             "--group-size",
             "2",
             "--max-new-tokens",
             "5",
             "--seed",
             "9"});
    results.insert(core::read_file(path("g.jsonl")));
  }
  EXPECT_EQ(results.size(), 1U);
  EXPECT_EQ(testing::read_jsonl(path("g.jsonl")).size(), 6U);
  std::vector<Json> rows = testing::read_jsonl(scratch_ / "val.jsonl");
  for (Json& row : rows) row["completion"] = row["ground_truth"];
  scratch_.write("scored.jsonl", testing::to_jsonl(rows));
  succeed({"logprobs",
           "--model",
           path("rl"),
           "--input",
           path("scored.jsonl"),
           "--output",
           path("l.jsonl")});
  EXPECT_EQ(testing::read_jsonl(path("l.jsonl")).size(), 3U);
  succeed({"export", "--checkpoint", path("rl"), "--output", path("exported")});
  EXPECT_EQ(core::read_file(path("exported/model.safetensors")),
            core::read_file(path("rl/checkpoints/latest/model/model.safetensors")));
  succeed({"report",
           "--runs",
           "[" + path("sft") + ", " + path("rl") + "]",
           "--output",
           path("both.html")});
  EXPECT_NE(core::read_file(path("both.html")).find("<svg"), std::string::npos);
}

TEST_F(Program, init_is_a_function_of_its_seed) {
  init();
  const std::string first = core::read_file(path("base/model.safetensors"));
  std::filesystem::remove_all(scratch_ / "base");
  init();
  EXPECT_EQ(core::read_file(path("base/model.safetensors")), first);
  succeed({"init", "--spec", path("spec.yaml"), "--output", path("other"), "--seed", "4"});
  EXPECT_NE(core::read_file(path("other/model.safetensors")), first);
  EXPECT_EQ(run({"init", "--spec", path("spec.yaml"), "--output", path("other")}).code, 2)
      << "a folder with content is not overwritten";
}

TEST_F(Program, two_runs_of_one_seed_write_the_same_metrics) {
  prepare();
  std::vector<std::vector<Json>> rows;
  for (const char* name : {"a", "b"}) {
    succeed({"train", path("run.yaml"), "output_dir=" + path(name)});
    rows.push_back(testing::read_jsonl(scratch_ / name / "metrics.jsonl"));
  }
  ASSERT_EQ(rows[0].size(), rows[1].size());
  for (size_t i = 0; i < rows[0].size(); ++i) {
    for (const auto& [name, value] : rows[0][i].items()) {
      const bool is_machine = core::starts_with(name, "timing_s/") || name == "step_time" ||
                              core::starts_with(name, "perf/") || core::starts_with(name, "mem/");
      EXPECT_TRUE(is_machine || value == rows[1][i].at(name)) << name;
    }
  }
  EXPECT_EQ(core::read_file(path("a/checkpoints/latest/model/model.safetensors")),
            core::read_file(path("b/checkpoints/latest/model/model.safetensors")));
}

TEST_F(Program, stop_signals_save_and_end_with_75_and_the_run_goes_on) {
  prepare();
  int64_t expected = 2;
  for (const int signal : {SIGTERM, SIGUSR1, SIGHUP}) {
    Process train(command({"train",
                           path("run.yaml"),
                           "output_dir=" + path("run"),
                           "trainer.steps=1000000",
                           "eval.every=0"}),
                  scratch_.path());
    const auto has_rows = [&] {
      if (!std::filesystem::exists(scratch_ / "run" / "metrics.jsonl")) return false;
      const std::string text = core::read_file(path("run/metrics.jsonl"));
      return std::count(text.begin(), text.end(), '\n') > expected;
    };
    ASSERT_TRUE(train.wait_for(has_rows));
    for (int i = 0; i < 3; ++i) train.send(signal);  // further ones are the same request
    const Outcome outcome = train.finish();
    EXPECT_EQ(outcome.code, 75);
    EXPECT_EQ(outcome.last_error_line().find("sgrpo: error: stopped by a signal"), 0U)
        << outcome.last_error_line();
    EXPECT_NE(outcome.last_error_line().find("the same command continues from there"),
              std::string::npos);
    const auto rows = testing::read_jsonl(scratch_ / "run" / "metrics.jsonl");
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].at("step"), i) << "no gap, no twin";
    expected = static_cast<int64_t>(rows.size()) + 1;
  }
  const auto done = testing::read_jsonl(scratch_ / "run" / "metrics.jsonl").back().at("step");
  const Outcome last = succeed({"train",
                                path("run.yaml"),
                                "output_dir=" + path("run"),
                                core::str("trainer.steps=", done.get<int64_t>() + 1)});
  EXPECT_NE(last.err.find(core::str("continuing after step ", done)), std::string::npos);
}

TEST_F(Program, killed_run_goes_on_from_its_last_checkpoint) {
  prepare();
  const Words words = {"train",
                       path("run.yaml"),
                       "output_dir=" + path("run"),
                       "eval.every=0",
                       "trainer.save_every=1"};
  {
    Words long_run = words;
    long_run.emplace_back("trainer.steps=1000000");
    Process train(command(long_run), scratch_.path());
    ASSERT_TRUE(train.wait_for([&] { return last_saved_step(scratch_ / "run") >= 3; }));
    train.send(SIGKILL);
    EXPECT_EQ(train.finish().code, 128 + SIGKILL);
  }
  Words again = words;
  again.emplace_back("trainer.steps=1000000");
  Process train(command(again), scratch_.path());
  ASSERT_TRUE(train.wait_for([&] {
    return core::read_file(path("stderr.txt")).find("continuing after step") != std::string::npos;
  }));
  train.send(SIGTERM);
  EXPECT_EQ(train.finish().code, 75);
  const auto rows = testing::read_jsonl(scratch_ / "run" / "metrics.jsonl");
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].at("step"), i);
}

TEST_F(Program, exit_codes_tell_whose_fault_it_is) {
  prepare();
  const auto expect = [&](int code, const Words& words, const std::string& message) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    const std::string line = scratch_.shorten(outcome.last_error_line());
    EXPECT_EQ(line.find("sgrpo: error: " + message), 0U) << line;
    EXPECT_EQ(outcome.out, "");
  };
  expect(1,
         {"generate",
          "--model",
          path("base"),
          "--input",
          path("val.jsonl"),
          "--output",
          path("none/o.jsonl")},
         "cannot write none/o.jsonl: No such file or directory");
  expect(2,
         {"generate",
          "--model",
          path("base"),
          "--input",
          path("none.jsonl"),
          "--output",
          path("o.jsonl")},
         "cannot read none.jsonl: No such file or directory");
  expect(2, {"train", path("none.yaml")}, "cannot read none.yaml: No such file or directory");
  expect(2, {"train", path("run.yaml")}, "output_dir is required");
  succeed({"sft", path("run.yaml"), "output_dir=" + path("run")});
  for (const auto& step : std::filesystem::directory_iterator(scratch_ / "run" / "checkpoints")) {
    if (!step.is_symlink()) core::write_file_atomic(step.path() / "state.json", "{}");
  }
  expect(3,
         {"sft", path("run.yaml"), "output_dir=" + path("run")},
         "no usable checkpoint in run/checkpoints: step-000002: state.json has ");
  expect(3, {"eval", "--model", path("run"), "--data", path("val.jsonl")}, "");
}

TEST_F(Program, libraries_have_one_openmp_and_no_python) {
  prepare();
  Process train(command({"train",
                         path("run.yaml"),
                         "output_dir=" + path("run"),
                         "trainer.steps=1000000",
                         "eval.every=0"}),
                scratch_.path());
  ASSERT_TRUE(
      train.wait_for([&] { return std::filesystem::exists(scratch_ / "run/completions"); }));
  std::ifstream file_of_maps(core::str("/proc/", train.pid(), "/maps"));
  const std::string maps{std::istreambuf_iterator<char>(file_of_maps), {}};
  std::set<std::string> openmp;
  for (const std::string& line : core::split(maps, '\n')) {
    const std::string file = line.substr(line.rfind(' ') + 1);
    EXPECT_EQ(file.find("libpython"), std::string::npos) << file;
    for (const char* name : {"libgomp", "libiomp", "libomp"})
      if (file.find(name) != std::string::npos) openmp.insert(file);
  }
  EXPECT_NE(maps.find("libtorch_cpu.so"), std::string::npos);
  EXPECT_EQ(openmp.size(), 1U) << core::join({openmp.begin(), openmp.end()}, ", ");
}

TEST_F(Program, help_and_version_need_nothing) {
  for (const Words& words : std::vector<Words>{{"--help"}, {"train", "--help"}, {"--version"}}) {
    const Outcome outcome = succeed(words);
    EXPECT_EQ(outcome.out.find("sgrpo "), 0U) << outcome.out;
    EXPECT_EQ(outcome.err, "");
  }
}

}  // namespace
}  // namespace sgrpo::e2e
