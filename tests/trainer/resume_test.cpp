// A run that was cut short and continued is the run that was never cut.
#include <set>

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
    const StopAt stop("step 4, a few completions", 1);
    const std::string message = testing::message_of<core::Interrupted>(
        [&] { Trainer(config("cut", options), Task::kPolicyGradient).run(); });
    EXPECT_EQ(scratch_.shorten(message),
              "stopped by a signal while scoring: step 3 of 4 is saved in cut; the same command "
              "continues from there");
  }
  EXPECT_TRUE(std::filesystem::exists(weights_of(scratch_ / "cut", 3)));
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

TEST_F(Resume, picture_that_changed_between_two_epochs_is_a_bad_row) {
  const Overrides options = both(coin(), {"data.shuffle=false"});
  run("run", both(options, {"trainer.steps=3"}));  // all twelve rows
  const std::string picture = core::read_file(scratch_ / "img/104.png");
  scratch_.write("img/104.png", testing::make_png(28, 28, 999));
  const testing::LogCapture log;
  Trainer(config("run", both(options, {"trainer.steps=5"})), Task::kPolicyGradient).run();
  const auto rows = metrics_of(scratch_ / "run");
  EXPECT_EQ(rows[3].at("data/rejected_rows"), 0);
  EXPECT_EQ(rows[4].at("data/rejected_rows"), 1);
  EXPECT_EQ(completions_of(scratch_ / "run", 5)[0].at("prompt_id"), "row-105");
  EXPECT_NE(scratch_.shorten(log.text())
                .find("bad row: train.jsonl:5 (id 'row-104'): its pictures hold other pixels than "
                      "when this run first read them: put them back, or start a run of its own"),
            std::string::npos)
      << log.text();
  // Other limits make other patches of the same picture: then nothing can be compared.
  scratch_.write("img/104.png", picture);
  run("limits", both(options, {"trainer.steps=3"}));
  EXPECT_EQ(metrics_of(run("limits", both(options, {"trainer.steps=5", "data.max_pixels=400"})))
                .back()
                .at("data/rejected_rows"),
            0);
}

TEST_F(Resume, stop_before_anything_is_saved_says_so_by_an_interruption) {
  core::request_stop();
  const testing::LogCapture quiet;
  EXPECT_THROW(
      Trainer(config("early", four_steps(scratch_ / "val.jsonl")), Task::kPolicyGradient).run(),
      core::Interrupted);
}

TEST_F(Resume, folder_of_another_run_is_refused) {
  run("refused", coin());
  EXPECT_EQ(error_of(both(coin(), {"trainer.resume=never"})),
            "refused holds checkpoints of another run and trainer.resume is never: choose another "
            "output_dir, or trainer.resume: auto to continue it");
  EXPECT_EQ(error_of({"output_dir=" + model().string()}),
            "output_dir model is a model folder (it has config.json): choose a folder of the run's "
            "own");
}

TEST_F(Resume, what_would_make_another_run_of_it_is_refused_by_name) {
  run("refused", coin());
  const auto refusal = [](const std::string& change) {
    return "this run would go on from refused/checkpoints/step-000001, but since then " + change;
  };
  const auto expect_refused = [&](const std::string& change, const Overrides& overrides) {
    const std::string message = error_of(both(coin(), overrides));
    EXPECT_EQ(message.find(refusal(change)), 0U) << message;
  };
  expect_refused("seed: 0 -> 5 (rows would come again or be left out)", {"seed=5"});
  expect_refused("optim.betas: [0.9,0.999] -> [0.5,0.5] (the optimizer's moments would be wrong)",
                 {"optim.betas=[0.5, 0.5]"});
  EXPECT_EQ(error_of(coin(), Task::kSft).find(refusal("task: train -> sft")), 0U);
  testing::TinyCheckpoint other;
  other.seed = 77;
  testing::write_tiny_checkpoint(scratch_ / "other", other);
  expect_refused("model.path: ", {"model.path=" + (scratch_ / "other").string()});
  std::filesystem::rename(model(), scratch_ / "moved");
  run("refused", both(coin(), {"model.path=" + (scratch_ / "moved").string()}));
  std::filesystem::rename(scratch_ / "moved", model());
  write_rows("train.jsonl", 11, 100);
  expect_refused("data.train: the content of train.jsonl changed", {});
}

TEST_F(Resume, allowed_changes_are_listed_and_the_run_goes_on) {
  run("run", coin());
  write_rows("train.jsonl", 11, 100);
  const Overrides options = both(coin(), {"trainer.steps=2", "optim.lr=0.01"});
  const testing::LogCapture log;
  Trainer(config("run", options), Task::kPolicyGradient, "data.train").run();
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(text.find("changed since step-000001: data.train: the content of train.jsonl changed"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("changed since step-000001: optim.lr: 0.05 -> 0.01"), std::string::npos);
  EXPECT_EQ(metrics_of(scratch_ / "run").size(), 2U);
  EXPECT_EQ(testing::message_of<core::UserError>(
                [&] { Trainer(config("run", options), Task::kPolicyGradient, "data.trian"); }),
            "--allow-change names 'data.trian', which is no key of a run (did you mean "
            "'data.train'?)");
}

TEST_F(Resume, another_number_of_prompts_neither_repeats_nor_skips_rows) {
  const Overrides options = both(coin(), {"trainer.keep_last=0", "trainer.save_every=1"});
  const auto ids = [&](const std::filesystem::path& folder, int64_t step) {
    std::set<std::string> all;
    for (const Json& row : completions_of(folder, step))
      all.insert(row.at("prompt_id").get<std::string>());
    return all;
  };
  const auto folder = run("run", both(options, {"trainer.steps=2"}));
  run("run", both(options, {"trainer.steps=4", "trainer.prompts_per_step=2"}));
  std::set<std::string> all;
  for (int64_t step = 1; step <= 4; ++step) all.merge(ids(folder, step));
  EXPECT_EQ(all.size(), 12U) << "8 rows, then 2, then 2: each of the 12 once";
  EXPECT_EQ(metrics_of(folder).back().at("epoch"), 1.0);
}

TEST_F(Resume, configuration_of_earlier_steps_is_kept) {
  const auto folder = run("run", both(coin(), {"trainer.steps=2"}));
  const std::string first = core::read_file(folder / "config.yaml");
  run("run", both(coin(), {"trainer.steps=2", "optim.lr=0.01"}));
  EXPECT_EQ(core::read_file(folder / "config.yaml"), first) << "no step trained with lr 0.01";
  run("run", both(coin(), {"trainer.steps=3", "optim.lr=0.01"}));
  EXPECT_EQ(core::read_file(folder / "config-step-000002.yaml"), first);
  EXPECT_NE(core::read_file(folder / "config.yaml").find("lr: 0.01"), std::string::npos);
}

TEST_F(Resume, completions_are_cut_back_with_the_metrics) {
  const auto folder = run("run", both(coin(), {"trainer.steps=2"}));
  for (const char* name : {"step-000003.jsonl", "step-000007.jsonl", "notes.jsonl"})
    scratch_.write(core::str("run/completions/", name), "");
  run("run", both(coin(), {"trainer.steps=3"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "completions" / "step-000007.jsonl"));
  EXPECT_TRUE(std::filesystem::exists(folder / "completions" / "notes.jsonl"));
  EXPECT_EQ(completions_of(folder, 3).empty(), false);
}

TEST_F(Resume, named_checkpoint_is_gone_back_to_or_starts_another_folder) {
  const Overrides options = both(coin(), {"trainer.save_every=1", "trainer.keep_last=0"});
  const auto whole = run("run", both(options, {"trainer.steps=3"}));
  const std::string weights = core::read_file(weights_of(whole, 3));
  const Overrides from_second = {"trainer.resume=" + folder_of(whole, 2).string(),
                                 "trainer.steps=3"};
  const auto fork = run("fork", both(options, from_second));
  EXPECT_EQ(core::read_file(weights_of(fork, 3)), weights);
  EXPECT_EQ(metrics_of(fork).size(), 2U) << "steps 2 and 3";
  run("fork", both(options, from_second));  // its own checkpoint by now
  EXPECT_EQ(metrics_of(fork).size(), 2U);
  std::filesystem::remove(weights_of(whole, 3));
  run("run", both(options, from_second));
  EXPECT_EQ(core::read_file(weights_of(whole, 3)), weights);
  EXPECT_EQ(error_of({"trainer.resume=nowhere"}),
            "trainer.resume is nowhere, which is no checkpoint of a run: expected auto, never or a "
            "folder such as RUN/checkpoints/step-000100");
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
            "no usable checkpoint in run/checkpoints: step-000002: model/model.safetensors differs "
            "from its checksum; step-000001: model/model.safetensors differs from its checksum; "
            "restore one of them, or choose another output_dir");
  for (const int64_t step : {1, 2})
    std::filesystem::remove(folder_of(folder, step) / "manifest.json");
  EXPECT_THROW(Trainer(config("run", options), Task::kPolicyGradient), core::NoCheckpointError)
      << "a run never starts from zero in silence";
  EXPECT_EQ(metrics_of(folder).size(), 2U);
}

TEST_F(Resume, best_step_saved_for_its_sake_is_not_counted_against_patience) {
  const Overrides options = {"optim.lr=0",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "trainer.keep_best=val/val/pass@1",
                             "trainer.early_stopping_patience=2",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"};
  const auto whole = run("whole", both(options, {"trainer.steps=9"}));
  ASSERT_EQ(std::filesystem::read_symlink(whole / "checkpoints" / "best"), "step-000001");
  const Json saved =
      core::parse_json(core::read_file(folder_of(whole, 1) / "state.json"), "state.json");
  EXPECT_EQ(saved.at("is_validated"), true);
  EXPECT_EQ(saved.at("evaluations_without_best"), 0);
}

TEST_F(Resume, another_metric_or_folder_starts_its_own_best) {
  const Overrides options = {"optim.lr=0",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "trainer.save_every=1",
                             "trainer.keep_last=0",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"};
  const Overrides by_pass = both(options, {"trainer.keep_best=val/val/pass@1"});
  const auto whole = run("whole", both(by_pass, {"trainer.steps=2"}));
  ASSERT_EQ(std::filesystem::read_symlink(whole / "checkpoints" / "best"), "step-000001");
  const auto fork = run(
      "fork", both(by_pass, {"trainer.steps=3", "trainer.resume=" + folder_of(whole, 2).string()}));
  EXPECT_EQ(std::filesystem::read_symlink(fork / "checkpoints" / "best"), "step-000002");
  run("whole", both(options, {"trainer.steps=3", "trainer.keep_best=val/val/macro"}));
  EXPECT_EQ(std::filesystem::read_symlink(whole / "checkpoints" / "best"), "step-000002");
}

TEST_F(Resume, data_that_turns_bad_costs_no_finished_step) {
  const Overrides options = both(coin(), {"trainer.steps=4", "data.shuffle=false"});
  const testing::LogCapture quiet;
  Trainer trainer(config("cut", options), Task::kPolicyGradient);
  for (const int64_t picture : {104, 105, 106, 107})  // of step 2
    scratch_.write(core::str("img/", picture, ".png"), "no picture");
  EXPECT_THROW(trainer.run(), core::UserError);
  EXPECT_TRUE(std::filesystem::exists(weights_of(scratch_ / "cut", 1)));
}

TEST_F(Resume, evaluations_without_a_new_best_end_the_run_and_stay_counted) {
  const Overrides options = {"optim.lr=0",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "trainer.keep_best=val/val/pass@1",
                             "trainer.early_stopping_patience=2",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"};
  const auto last_step = [](const std::filesystem::path& folder) {
    return metrics_of(folder).back().at("step").get<int64_t>();
  };
  const auto whole = run("whole", both(options, {"trainer.steps=9"}));
  const int64_t last = last_step(whole);
  EXPECT_LE(last, 3) << "no evaluation differs from the first";
  EXPECT_TRUE(std::filesystem::exists(folder_of(whole, last))) << "the last step is saved";
  run("whole", both(options, {"trainer.steps=9"}));
  EXPECT_EQ(last_step(whole), last) << "a run that ended so does not go on";
  run("cut", both(options, {"trainer.steps=1"}));
  EXPECT_EQ(last_step(run("cut", both(options, {"trainer.steps=9"}))), last);
  run("whole", both(options, {"trainer.steps=9", "trainer.early_stopping_patience=4"}));
  EXPECT_EQ(last_step(whole), last + 2);
  EXPECT_EQ(
      error_of({"trainer.early_stopping_patience=2"}),
      "trainer.early_stopping_patience is 2, which counts evaluations without a new best: set "
      "trainer.keep_best");
}

}  // namespace
}  // namespace sgrpo::trainer
