// However a run ends or begins again, its finished steps are there.
#include <chrono>
#include <cstdlib>

#include "sgrpo/trainer/crash_loop.h"
#include "testing/file_limit.h"
#include "trainer/planted_loss.h"
#include "trainer/run_files.h"
#include "trainer/starts.h"

namespace sgrpo::trainer {
namespace {

namespace fs = std::filesystem;

class Endings : public Runs {
 protected:
  ~Endings() override {
    ::unsetenv("SLURM_JOB_END_TIME");
    core::set_deadline(0.0);
  }
  static void set_end_of_job(double seconds_from_now) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const double end = std::chrono::duration<double>(now).count() + seconds_from_now;
    ::setenv("SLURM_JOB_END_TIME", std::to_string(std::llround(end)).c_str(), 1);
  }
  static std::vector<int64_t> steps_of(const fs::path& run) {
    std::vector<int64_t> steps;
    for (int64_t step = 1; step <= 9; ++step)
      if (fs::exists(folder_of(run, step))) steps.push_back(step);
    return steps;
  }
};

using Steps = std::vector<int64_t>;

/// Ends a limit on file sizes at the first message that holds `part`.
class UntilSaid {
 public:
  UntilSaid(std::string part, rlim_t bytes)
      : part_(std::move(part)), limit_(std::make_unique<testing::FileLimit>(bytes)) {
    core::set_log_sink([this](core::LogLevel, const std::string& message) {
      text_ += message + "\n";
      if (message.find(part_) != std::string::npos) limit_.reset();
    });
  }
  ~UntilSaid() { core::set_log_sink({}); }
  UntilSaid(const UntilSaid&) = delete;
  UntilSaid& operator=(const UntilSaid&) = delete;
  bool was_said() const { return limit_ == nullptr; }
  const std::string& text() const { return text_; }

 private:
  std::string part_, text_;
  std::unique_ptr<testing::FileLimit> limit_;
};

TEST_F(Endings, going_back_is_done_before_the_next_step) {
  const Overrides options = both(coin(), {"trainer.save_every=1", "trainer.keep_last=0"});
  const auto whole = run("run", both(options, {"trainer.steps=3"}));
  const std::string weights = core::read_file(weights_of(whole, 3));
  {
    const testing::LogCapture quiet;
    const Trainer killed(
        config(
            "run",
            both(options, {"trainer.resume=" + folder_of(whole, 1).string(), "trainer.steps=3"})),
        Task::kPolicyGradient);
  }
  EXPECT_EQ(steps_of(whole), Steps{1});
  EXPECT_EQ(fs::read_symlink(whole / "checkpoints" / "latest"), "step-000001");
  run("run", both(options, {"trainer.steps=3"}));
  EXPECT_EQ(core::read_file(weights_of(whole, 3)), weights);
}

TEST_F(Endings, exception_within_an_update_saves_nothing_and_names_the_lost_steps) {
  const Overrides options = both(coin(),
                                 {"algorithm.loss=planted",
                                  "algorithm.epochs_per_rollout=2",
                                  "trainer.steps=3",
                                  "trainer.save_every=0"});
  const auto message_of_call = [&](const std::string& name, int64_t bad, const Overrides& more) {
    const Planted plan([bad](int64_t call, const at::Tensor& loss) {
      if (call == bad) throw std::runtime_error("planted");
      return loss;
    });
    const testing::LogCapture quiet;
    try {
      Trainer(config(name, both(options, more)), Task::kPolicyGradient).run();
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  // The second of two updates of step 2: one has changed the parameters.
  EXPECT_EQ(
      message_of_call("inside", 4, {}),
      "planted: the step was being applied, so nothing could be saved behind step 0; lost are "
      "steps 1 to 2; the same command continues from the start");
  EXPECT_EQ(steps_of(scratch_ / "inside"), Steps{});
  EXPECT_EQ(message_of_call("behind", 4, {"trainer.save_every=1"}),
            "planted: the step was being applied, so nothing could be saved behind step 1; lost is "
            "step 2; the same command continues after the saved one");
  EXPECT_EQ(steps_of(scratch_ / "behind"), Steps{1});
  // The first: nothing has changed yet.
  EXPECT_EQ(message_of_call("before", 3, {}), "planted");
  EXPECT_EQ(steps_of(scratch_ / "before"), Steps{1});
  const auto whole = run("whole", options), cut = run("before", options);
  expect_same_metrics(whole, cut);
  expect_same_bytes(weights_of(whole, 3), weights_of(cut, 3));
}

TEST_F(Endings, checkpoints_come_by_time_as_well) {
  const Overrides options = both(coin(), {"trainer.steps=3", "trainer.keep_last=0"});
  EXPECT_EQ(steps_of(run("often", both(options, {"trainer.save_every_minutes=1e-9"}))),
            (Steps{1, 2, 3}));
  EXPECT_EQ(steps_of(run("never", both(options, {"trainer.save_every_minutes=0"}))), Steps{3});
  EXPECT_EQ(steps_of(run("default", options)), Steps{3});
}

TEST_F(Endings, failed_saves_and_lines_are_told_and_come_later) {
  const Overrides options = both(coin(), {"trainer.steps=4", "trainer.save_every=2"});
  const auto whole = run("whole", options);
  {
    Trainer trainer(config("cut", options), Task::kPolicyGradient);
    const UntilSaid full("step 2 could not be saved: ", 64);
    trainer.run();
    ASSERT_TRUE(full.was_said());
    EXPECT_NE(full.text().find("File too large"), std::string::npos) << full.text();
    EXPECT_NE(full.text().find("; the run goes on, and tries again behind the next step"),
              std::string::npos);
  }
  const auto cut = scratch_ / "cut";
  EXPECT_EQ(steps_of(cut), (Steps{3, 4})) << "step 3 is saved in the place of step 2";
  expect_same_metrics(whole, cut);
  expect_same_bytes(weights_of(whole, 4), weights_of(cut, 4));
  for (const auto& file : fs::directory_iterator(whole / "completions"))
    expect_same_bytes(file.path(), cut / "completions" / file.path().filename());
}

TEST_F(Endings, last_step_is_tried_again_at_once) {
  Trainer trainer(config("run", coin()), Task::kPolicyGradient);
  const UntilSaid full("step 1 could not be saved: ", 64);
  trainer.run();
  ASSERT_TRUE(full.was_said());
  EXPECT_EQ(steps_of(scratch_ / "run"), Steps{1});
}

TEST_F(Endings, best_survives_a_kill_before_its_link) {
  const Overrides options = {"optim.lr=0",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "trainer.keep_best=val/val/pass@1",
                             "trainer.keep_last=1",
                             "trainer.save_every=1",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"};
  const auto folder = run("run", both(options, {"trainer.steps=1"}));
  ASSERT_EQ(fs::read_symlink(folder / "checkpoints" / "best"), "step-000001");
  fs::remove(folder / "checkpoints" / "best");
  run("run", both(options, {"trainer.steps=3"}));
  EXPECT_EQ(fs::read_symlink(folder / "checkpoints" / "best"), "step-000001");
  EXPECT_EQ(steps_of(folder), (Steps{1, 3})) << "retention knows it as well";
}

TEST_F(Endings, leftovers_of_any_kind_are_in_nobodys_way) {
  const fs::path folder = scratch_ / "run";
  for (const char* place : {"checkpoints/.tmp-step-000001-1/model/x",
                            "checkpoints/.tmp-latest-7/x",
                            "checkpoints/going-back.tmp-5",
                            "completions/step-000009.jsonl/x",
                            "completions/step-000001.jsonl.tmp-4",
                            "run/starts.json.tmp-6",
                            "config.yaml.tmp-3"})
    scratch_.write(core::str("run/", place), "left");
  run("run", coin());
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    EXPECT_EQ(entry.path().string().find(".tmp-"), std::string::npos) << entry.path();
  EXPECT_FALSE(fs::exists(folder / "completions" / "step-000009.jsonl"));
  EXPECT_FALSE(fs::exists(folder / "checkpoints" / "going-back"));
}

TEST_F(Endings, fourth_start_in_a_row_that_comes_to_nothing_is_refused) {
  const fs::path folder = scratch_ / "run";
  for (int i = 0; i < 3; ++i) const Starts killed(folder);
  EXPECT_EQ(
      scratch_.shorten(testing::message_of<CrashLoopError>([&] { const Starts fourth(folder); })),
      "run was started 3 times in a row without a checkpoint, a finished group or an orderly end: "
      "see in the log what ended them, mend it, remove run/run/starts.json and start again");
  scratch_.write("run/run/starts.json", "{");
  const testing::LogCapture log;
  for (int i = 0; i < 3; ++i) const Starts killed(folder);
  EXPECT_NE(log.text().find("starts are counted anew"), std::string::npos);
  fs::remove(folder / "run" / "starts.json");
  for (int i = 0; i < 5; ++i) Starts(folder).forget();
}

TEST_F(Endings, ends_in_order_are_no_crashes) {
  for (int i = 0; i < 5; ++i) {
    const testing::LogCapture quiet;
    EXPECT_THROW(Trainer(config("run", {"data.train=" + (scratch_ / "none.jsonl").string()}),
                         Task::kPolicyGradient),
                 core::UserError);
  }
  EXPECT_EQ(core::read_file(run("run", coin()) / "run" / "starts.json"), "{\"starts\":0}\n");
}

TEST_F(Endings, end_of_the_job_stops_the_run_in_time) {
  set_end_of_job(60);
  const testing::LogCapture quiet;
  EXPECT_EQ(
      testing::message_of<core::Interrupted>(
          [&] { Trainer(config("run", coin()), Task::kPolicyGradient).run(); }),
      "stopped 120 s before the end of the job (SLURM_JOB_END_TIME) while sampling: no step is "
      "done yet; the same command starts again");
  run("run", both(coin(), {"trainer.stop_before_end_s=0"}));
  EXPECT_EQ(steps_of(scratch_ / "run"), Steps{1});
}

TEST_F(Endings, end_of_another_job_is_not_heeded_and_a_malformed_one_refused) {
  set_end_of_job(-5);
  {
    const testing::LogCapture log;
    Trainer(config("run", coin()), Task::kPolicyGradient).run();
    EXPECT_NE(log.text().find("SLURM_JOB_END_TIME is over already"), std::string::npos);
  }
  ::setenv("SLURM_JOB_END_TIME", "tomorrow", 1);
  EXPECT_EQ(error_of(coin()),
            "the environment says SLURM_JOB_END_TIME=tomorrow, expected seconds since 1970, or "
            "nothing");
}

TEST_F(Endings, replay_judges_failed_verifiers_again_but_asks_for_no_recorded_reward) {
  const std::string starts = (scratch_ / "starts").string(), asked = (scratch_ / "asked").string();
  // The first start fails; each row that comes is noted.
  const std::string script = core::str("echo x >> ",
                                       starts,
                                       "; [ $(wc -l < ",
                                       starts,
                                       ") -gt 1 ] || exit 1; while read -r x; do echo x >> ",
                                       asked,
                                       "; echo '{\"reward\": 1}'; done");
  const Json params = {{"argv", {"sh", "-c", script}}, {"max_restarts", 0}};
  auto data = rows(2, 100);
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  for (Json& row : data) row["completions"] = {{30, 2}, {31, 2}, {32, 2}, {33, 2}};
  data[1]["rewards"] = {0, 0, 0.5, 1};
  const auto folder =
      run("run",
          {"trainer.prompts_per_step=2",
           "data.shuffle=false",
           "verifier.name=command",
           "verifier.params=" + params.dump(),
           "verifier.sandbox=off",  // it counts its starts in a file
           "rollout.replay=" + scratch_.write("replay.jsonl", testing::to_jsonl(data))});
  const Json row = metrics_of(folder)[0];
  EXPECT_EQ(row.at("verifier/error_frac"), 0);
  EXPECT_EQ(row.at("reward"), (4 + 1.5) / 8);
  EXPECT_EQ(core::read_file(asked), "x\nx\nx\nx\n");
}

}  // namespace
}  // namespace sgrpo::trainer
