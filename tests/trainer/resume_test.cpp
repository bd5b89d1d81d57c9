// A run that was cut short and continued is the run that was never cut.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Resume = Runs;

Overrides four_steps(const std::filesystem::path& val) {
  return {"trainer.save_every=2",
          "trainer.keep_last=0",
          "optim.schedule=linear",
          "optim.schedule_steps=4",
          "optim.warmup_steps=2",
          "algorithm.kl_coef=0.01",
          "eval.every=2",
          "eval.max_new_tokens=4",
          "data.eval={val: " + val.string() + "}"};
}

/// Calls `request_stop` when the count-th message with `part` is logged.
class StopAt {
 public:
  StopAt(std::string part, int64_t count) : part_(std::move(part)), left_(count) {
    core::set_log_sink([this](core::LogLevel, const std::string& message) {
      if (message.find(part_) != std::string::npos && --left_ == 0) core::request_stop();
    });
  }
  ~StopAt() {
    core::set_log_sink({});
    core::request_stop(false);
  }
  StopAt(const StopAt&) = delete;
  StopAt& operator=(const StopAt&) = delete;

 private:
  std::string part_;
  int64_t left_;
};

void expect_same_run(const std::filesystem::path& whole, const std::filesystem::path& cut) {
  expect_same_metrics(whole, cut);
  const std::string last = "checkpoints/latest/model/model.safetensors";
  expect_same_bytes(whole / last, cut / last);
  expect_same_bytes(whole / "checkpoints/latest/optimizer.safetensors",
                    cut / "checkpoints/latest/optimizer.safetensors");
  for (const auto& file : std::filesystem::directory_iterator(whole / "completions"))
    expect_same_bytes(file.path(), cut / "completions" / file.path().filename());
}

TEST_F(Resume, two_steps_and_two_more_equal_four) {
  const Overrides options = both(coin(), four_steps(scratch_ / "val.jsonl"));
  const auto whole = run("whole", both(options, {"trainer.steps=4"}));
  run("cut", both(options, {"trainer.steps=2"}));
  const auto cut = run("cut", both(options, {"trainer.steps=4"}));
  EXPECT_EQ(metrics_of(whole).size(), 5U);  // step 0 is the evaluation at start
  expect_same_run(whole, cut);
}

TEST_F(Resume, bfloat16_checkpoint_continues_from_wide_weights) {
  testing::TinyCheckpoint tiny;
  tiny.dtype = at::kBFloat16;
  std::filesystem::remove_all(model());
  testing::write_tiny_checkpoint(model(), tiny);
  const Overrides options = both(coin(), four_steps(scratch_ / "val.jsonl"));
  const auto whole = run("whole", both(options, {"trainer.steps=4", "optim.lr=0.001"}));
  run("cut", both(options, {"trainer.steps=2", "optim.lr=0.001"}));
  const auto cut = run("cut", both(options, {"trainer.steps=4", "optim.lr=0.001"}));
  expect_same_run(whole, cut);
}

TEST_F(Resume, finished_run_changes_nothing_but_its_report) {
  const auto folder = run("done", both(coin(), {"trainer.steps=2"}));
  const auto metrics = core::read_file(folder / "metrics.jsonl");
  const auto weights = core::read_file(weights_of(folder, 2));
  std::filesystem::remove(folder / "report.html");
  run("done", both(coin(), {"trainer.steps=2"}));
  EXPECT_EQ(core::read_file(folder / "metrics.jsonl"), metrics);
  EXPECT_EQ(core::read_file(weights_of(folder, 2)), weights);
  EXPECT_TRUE(std::filesystem::exists(folder / "report.html"));
}

TEST_F(Resume, stop_after_a_step_saves_it_and_the_run_goes_on) {
  const Overrides options =
      both(both(coin(), four_steps(scratch_ / "val.jsonl")), {"trainer.steps=4"});
  const auto whole = run("whole", options);
  {
    const StopAt stop("step 1, a few completions", 1);
    const std::string message = testing::message_of<core::Interrupted>(
        [&] { Trainer(config("cut", options), Task::kPolicyGradient).run(); });
    EXPECT_EQ(scratch_.shorten(message),
              "stopped by a signal: step 1 of 4 is saved in cut; the same command continues from "
              "there");
  }
  EXPECT_TRUE(std::filesystem::exists(weights_of(scratch_ / "cut", 1)));
  expect_same_run(whole, run("cut", options));
}

/// A row that names a missing picture, so that reading it is noticed in the log.
void add_bad_row(const std::filesystem::path& file) {
  const std::string text = core::read_file(file);
  core::write_file_atomic(
      file, text + R"({"id": "bad", "prompt": "<image>?", "images": ["none.png"]})" + "\n");
}

TEST_F(Resume, stop_before_the_first_step_is_done_repeats_nothing) {
  add_bad_row(scratch_ / "train.jsonl");
  const Overrides options =
      both(both(coin(), four_steps(scratch_ / "val.jsonl")),
           {"trainer.steps=2", "data.shuffle=false", "trainer.prompts_per_step=13"});
  const auto whole = run("whole", options);
  {
    const StopAt stop("none.png", 1);  // while the first batch is read, after the first evaluation
    const std::string message = testing::message_of<core::Interrupted>(
        [&] { Trainer(config("cut", options), Task::kPolicyGradient).run(); });
    EXPECT_EQ(
        scratch_.shorten(message),
        "stopped by a signal while sampling: no step is done yet; the same command starts again");
  }
  EXPECT_EQ(metrics_of(scratch_ / "cut").size(), 1U);
  expect_same_run(whole, run("cut", options));
}

TEST_F(Resume, stop_inside_a_validation_loses_neither_the_step_nor_its_row) {
  add_bad_row(scratch_ / "val.jsonl");
  const Overrides options =
      both(both(coin(), four_steps(scratch_ / "val.jsonl")), {"trainer.steps=4"});
  const auto whole = run("whole", options);
  {
    const StopAt stop("none.png", 2);  // at start, then after step 2
    const std::string message = testing::message_of<core::Interrupted>(
        [&] { Trainer(config("cut", options), Task::kPolicyGradient).run(); });
    EXPECT_NE(message.find("step 2 of 4 is saved"), std::string::npos) << message;
  }
  expect_same_run(whole, run("cut", options));
}

TEST_F(Resume, rejected_rows_stay_counted) {
  add_bad_row(scratch_ / "train.jsonl");
  // The bad row is the thirteenth: the second step meets it, the third one does not.
  const Overrides options = both(coin(), {"trainer.prompts_per_step=7", "data.shuffle=false"});
  const auto whole = run("whole", both(options, {"trainer.steps=3"}));
  run("cut", both(options, {"trainer.steps=2"}));
  const auto cut = run("cut", both(options, {"trainer.steps=3"}));
  EXPECT_EQ(metrics_of(whole)[2].at("data/rejected_rows"), 1);
  expect_same_run(whole, cut);
}

TEST_F(Resume, stop_before_anything_is_saved_says_so_by_an_interruption) {
  core::request_stop();
  const testing::LogCapture quiet;
  EXPECT_THROW(
      Trainer(config("early", four_steps(scratch_ / "val.jsonl")), Task::kPolicyGradient).run(),
      core::Interrupted);
}

TEST_F(Resume, changed_data_and_foreign_folders_are_refused) {
  run("refused", coin());
  EXPECT_EQ(error_of(both(coin(), {"trainer.resume=never"})),
            "refused holds checkpoints of another run and trainer.resume is never: choose another "
            "output_dir, or remove the folder");
  write_rows("train.jsonl", 11, 100);
  EXPECT_EQ(error_of(coin()),
            "data.train changed since refused/checkpoints/step-000001 was saved: choose another "
            "output_dir, or restore the data");
}

TEST_F(Resume, damaged_checkpoint_is_passed_over_and_only_damaged_ones_end_with_3) {
  const Overrides options = both(coin(), {"trainer.save_every=1", "trainer.keep_last=0"});
  const auto folder = run("run", both(options, {"trainer.steps=2"}));
  const auto damage = [&](int64_t step) {
    std::string bytes = core::read_file(weights_of(folder, step));
    bytes[bytes.size() - 1] = static_cast<char>(bytes.back() ^ 1);
    core::write_file_atomic(weights_of(folder, step), bytes);
  };
  const std::string intact = core::read_file(weights_of(folder, 2));
  damage(2);
  run("run", both(options, {"trainer.steps=2"}));
  EXPECT_EQ(core::read_file(weights_of(folder, 2)), intact) << "step 2 is trained again from 1";
  damage(1);
  damage(2);
  const testing::LogCapture quiet;
  const std::string message = testing::message_of<core::NoCheckpointError>(
      [&] { Trainer(config("run", options), Task::kPolicyGradient); });
  EXPECT_EQ(scratch_.shorten(message),
            "run: all 2 checkpoints are damaged; remove the folder to start anew");
}

}  // namespace
}  // namespace sgrpo::trainer
