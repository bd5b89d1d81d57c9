#include "sgrpo/checkpoint/run_folder.h"
#include "sgrpo/checkpoint/model_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/files.h"
#include "checkpoint/tiny_folder.h"
#include "sgrpo/core/log.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

using testing::numbers;
using testing::read_text;
using testing::Scratch;
using testing::write_text;
using testing::write_tiny_folder;

/// A model folder, a run, and the messages that were logged.
class RunFolderTest : public ::testing::Test {
 protected:
  RunFolderTest() {
    write_tiny_folder(scratch_ / "m");
    core::set_log_sink([this](core::LogLevel, const std::string& text) { log_ += text + "\n"; });
  }
  ~RunFolderTest() override { core::set_log_sink(nullptr); }

  static RunState state_of(int64_t step) {
    RunState state;
    state.step = step;
    state.state = {{"prompts_seen", 32 * step}, {"config_hash", "abc"}};
    state.optimizer = {{"exp_avg.a", numbers({3, 2}, static_cast<double>(step)).to(at::kFloat)},
                       {"count", at::scalar_tensor(step, at::kLong)}};
    return state;
  }

  void save(int64_t step, int64_t keep_last = 2) {
    const ModelFolder input(scratch_ / "m");
    RunFolder(run_).save(state_of(step),
                         input.writer([step](const std::string& name) {
                           return name == "embed.weight" ? at::full({16, 8}, step) : at::Tensor();
                         }),
                         keep_last);
  }

  void damage(int64_t step, const std::string& file) {
    const fs::path path = RunFolder(run_).folder_of(step) / file;
    std::string bytes = read_text(path);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write_text(path, bytes);
  }

  const Scratch scratch_;
  const fs::path run_ = scratch_ / "run";
  const fs::path checkpoints_ = run_ / "checkpoints";
  std::string log_;
};

TEST_F(RunFolderTest, save_then_load_gives_back_model_optimizer_and_state) {
  save(7);
  const RunFolder run(run_);
  EXPECT_EQ(run.steps(), std::vector<int64_t>{7});
  EXPECT_EQ(run.verify(7), "");
  EXPECT_EQ(run.folder_of(7).filename(), "step-000007");
  const RunState state = run.load(7);
  EXPECT_EQ(state.step, 7);
  EXPECT_EQ(state.state.at("prompts_seen"), 224);
  ASSERT_EQ(state.optimizer.size(), 2u);
  EXPECT_EQ(state.optimizer[0].first, "count");  // wide elements first
  EXPECT_EQ(state.optimizer[0].second.item<int64_t>(), 7);
  EXPECT_TRUE(at::equal(state.optimizer[1].second, numbers({3, 2}, 7.0).to(at::kFloat)));
  const ModelFolder model(run.folder_of(7) / "model");
  EXPECT_TRUE(at::equal(model.read("embed.weight"), at::full({16, 8}, 7.0f)));
  EXPECT_EQ(fs::read_symlink(checkpoints_ / "latest"), "step-000007");
  const core::Json manifest =
      core::parse_json(read_text(run.folder_of(7) / "manifest.json"), "manifest");
  EXPECT_EQ(manifest.at("step"), 7);
  EXPECT_EQ(manifest.at("files").size(), 9u);
}

TEST_F(RunFolderTest, open_model_through_every_kind_of_path_finds_the_same) {
  save(1);
  save(2);
  RunFolder(run_).mark_best(1);
  const auto value = [](const fs::path& path) {
    return ModelFolder(path).read("embed.weight")[0][0].item<int64_t>();
  };
  fs::create_directory_symlink(run_, scratch_ / "link");
  EXPECT_EQ(value(run_), 2);
  EXPECT_EQ(value(scratch_ / "link"), 2);
  EXPECT_EQ(value(run_.string() + "/"), 2);
  EXPECT_EQ(value(checkpoints_), 2);
  EXPECT_EQ(value(checkpoints_ / "latest"), 2);
  EXPECT_EQ(value(checkpoints_ / "latest" / "model"), 2);
  EXPECT_EQ(value(checkpoints_ / "best"), 1);
  EXPECT_EQ(value(checkpoints_ / "step-000001"), 1);
}

TEST_F(RunFolderTest, retain_keeps_the_last_ones_and_the_best) {
  for (int64_t step = 1; step <= 5; ++step) {
    save(step, 2);
    if (step == 1) RunFolder(run_).mark_best(1);
  }
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{1, 4, 5}));
  EXPECT_EQ(RunFolder(run_).best(), 1);
  RunFolder(run_).mark_best(5);
  save(6, 1);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{5, 6}));
  save(7, 0);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{5, 6, 7}));
  EXPECT_THROW(RunFolder(run_).mark_best(4), core::ContractError);
}

TEST_F(RunFolderTest, save_an_existing_step_replaces_it_and_drops_later_ones) {
  for (int64_t step = 1; step <= 3; ++step) save(step, 0);
  damage(2, "state.json");
  save(2, 0);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(RunFolder(run_).verify(2), "");
  EXPECT_NE(log_.find("the run went back to step 2"), std::string::npos) << log_;
  EXPECT_EQ(fs::read_symlink(checkpoints_ / "latest"), "step-000002");
}

TEST_F(RunFolderTest, best_step_of_an_abandoned_branch_goes_with_it) {
  for (int64_t step = 1; step <= 3; ++step) save(step, 0);
  RunFolder(run_).mark_best(3);
  save(2, 0);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(RunFolder(run_).best(), std::nullopt);
  EXPECT_FALSE(fs::is_symlink(checkpoints_ / "best"));
}

TEST_F(RunFolderTest, keep_last_counts_intact_steps_and_clears_the_others) {
  for (int64_t step = 1; step <= 3; ++step) save(step, 0);
  damage(2, "state.json");
  fs::remove(checkpoints_ / "step-000003" / "manifest.json");
  save(4, 2);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{1, 4})) << "two intact ones stay two";
  EXPECT_FALSE(fs::exists(checkpoints_ / "step-000003"));
}

TEST_F(RunFolderTest, going_back_removes_later_steps_of_any_kind_at_once) {
  for (int64_t step = 1; step <= 4; ++step) save(step, 0);
  RunFolder(run_).mark_best(4);
  damage(3, "state.json");
  fs::create_directories(checkpoints_ / "step-000009" / "model");  // never finished
  RunFolder(run_).go_back(2);
  EXPECT_EQ(RunFolder(run_).steps(), (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(fs::exists(checkpoints_ / "step-000009"));
  EXPECT_EQ(fs::read_symlink(checkpoints_ / "latest"), "step-000002");
  EXPECT_FALSE(fs::is_symlink(checkpoints_ / "best"));
  EXPECT_EQ(std::distance(fs::directory_iterator(checkpoints_), {}), 3);
}

TEST_F(RunFolderTest, going_back_that_was_interrupted_is_ended_by_the_next_start) {
  for (int64_t step = 1; step <= 4; ++step) save(step, 0);
  write_text(checkpoints_ / "going-back", "step-000002\n");
  EXPECT_EQ(RunFolder(run_).newest(), 2);
  EXPECT_FALSE(fs::exists(checkpoints_ / "going-back"));
  damage(1, "state.json");
  write_text(checkpoints_ / "going-back", "step-000001\n");
  EXPECT_EQ(RunFolder(run_).newest(), 2) << "never for the sake of a damaged step";
}

TEST_F(RunFolderTest, going_back_behind_a_step_of_a_newer_version_is_refused) {
  for (int64_t step = 1; step <= 2; ++step) save(step, 0);
  RunFolder run(run_);
  const fs::path file = run.folder_of(2) / "manifest.json";
  std::string text = read_text(file);
  write_text(file, text.replace(text.find("\"version\": 1"), 12, "\"version\": 2"));
  EXPECT_MESSAGE(core::NoCheckpointError,
                 "step-000002: a newer version of sgrpo wrote it (manifest version 2, this one "
                 "reads 1); choose another output_dir",
                 run.go_back(1));
  EXPECT_TRUE(fs::exists(file));
}

TEST_F(RunFolderTest, verify_names_every_kind_of_damage) {
  save(1);
  const RunFolder run(run_);
  const fs::path folder = run.folder_of(1);
  const std::string good = read_text(folder / "state.json");
  damage(1, "model/model-00001-of-00002.safetensors");
  EXPECT_EQ(run.verify(1), "model/model-00001-of-00002.safetensors differs from its checksum");
  save(1);
  fs::resize_file(folder / "optimizer.safetensors", 10);
  EXPECT_NE(run.verify(1).find("optimizer.safetensors has 10 bytes, the manifest says"),
            std::string::npos);
  save(1);
  fs::remove(folder / "state.json");
  EXPECT_EQ(run.verify(1), "state.json is missing");
  save(1);
  const std::string manifest = read_text(folder / "manifest.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = manifest;
    text.replace(text.find(from), from.size(), to);
    write_text(folder / "manifest.json", text);
    return run.verify(1);
  };
  EXPECT_EQ(with("\"step\": 1", "\"step\": 2"), "the manifest is of step 2");
  EXPECT_EQ(with("\"version\": 1", "\"version\": 9"),
            "a newer version of sgrpo wrote it (manifest version 9, this one reads 1)");
  EXPECT_EQ(with("\"version\": 1", "\"version\": 0"), "the manifest has version 0, expected 1");
  EXPECT_EQ(with("\"state.json\"", "\"../state.json\""), "the manifest names '../state.json'");
  EXPECT_NE(with("{", "").find("not valid JSON"), std::string::npos);
}

TEST_F(RunFolderTest, newest_skips_damaged_steps_loudly) {
  EXPECT_FALSE(RunFolder(run_).newest().has_value());
  EXPECT_MESSAGE(core::NoCheckpointError, "no step was ever committed", ModelFolder(run_));
  for (int64_t step = 1; step <= 3; ++step) save(step, 0);
  damage(3, "optimizer.safetensors");
  EXPECT_EQ(RunFolder(run_).newest(), 2);
  EXPECT_NE(log_.find("step-000003: optimizer.safetensors differs from its checksum"),
            std::string::npos)
      << log_;
  EXPECT_EQ(ModelFolder(run_).folder(), RunFolder(run_).folder_of(2) / "model");
  damage(1, "state.json");
  damage(2, "model/config.json");
  EXPECT_MESSAGE(
      core::NoCheckpointError, "step-000002: model/config.json differs", RunFolder(run_).newest());
  EXPECT_MESSAGE(core::NoCheckpointError, "no usable checkpoint in", ModelFolder(run_));
  EXPECT_MESSAGE(FormatError,
                 "step-000002 is damaged: model/config.json differs",
                 ModelFolder(checkpoints_ / "step-000002"));
}

TEST_F(RunFolderTest, missing_manifest_is_passed_over_loudly_and_never_a_fresh_start) {
  for (int64_t step = 1; step <= 3; ++step) save(step, 0);
  const RunFolder run(run_);
  fs::remove(run.folder_of(3) / "manifest.json");
  EXPECT_EQ(run.newest(), 2);
  EXPECT_NE(log_.find("passing over " + run.folder_of(3).string() + ": manifest.json is missing"),
            std::string::npos)
      << log_;
  EXPECT_EQ(run.newest(2), 1) << "the one before";
  EXPECT_MESSAGE(core::NoCheckpointError, "there is none before step-000001", run.newest(1));
  for (const int64_t step : {1, 2}) fs::remove(run.folder_of(step) / "manifest.json");
  EXPECT_MESSAGE(core::NoCheckpointError, "step-000001: manifest.json is missing", run.newest());
}

TEST_F(RunFolderTest, step_of_a_newer_version_is_neither_used_nor_passed_over) {
  for (int64_t step = 1; step <= 2; ++step) save(step, 0);
  const RunFolder run(run_);
  const fs::path file = run.folder_of(2) / "manifest.json";
  std::string text = read_text(file);
  write_text(file, text.replace(text.find("\"version\": 1"), 12, "\"version\": 2"));
  EXPECT_MESSAGE(core::NoCheckpointError,
                 "step-000002: a newer version of sgrpo wrote it (manifest version 2, this one "
                 "reads 1); go on with that version, or choose another output_dir",
                 run.newest());
}

TEST_F(RunFolderTest, steps_ignore_uncommitted_and_foreign_folders) {
  save(3);
  fs::create_directories(checkpoints_ / "step-000009" / "model");  // no manifest
  write_text(checkpoints_ / "step-12" / "manifest.json", "{}");    // not our spelling
  write_text(checkpoints_ / "step-000012x" / "manifest.json", "{}");
  write_text(checkpoints_ / "notes.txt", "mine");
  EXPECT_EQ(RunFolder(run_).steps(), std::vector<int64_t>{3});
  EXPECT_EQ(RunFolder(run_).folder_of(1234567).filename(), "step-1234567");
}

TEST_F(RunFolderTest, open_removes_leftovers_of_interrupted_saves) {
  save(1);
  write_text(checkpoints_ / ".tmp-step-000002-99" / "model" / "config.json", "{}");
  fs::create_symlink("step-000001", checkpoints_ / ".tmp-latest-99");
  const RunFolder run(run_);
  EXPECT_EQ(std::distance(fs::directory_iterator(checkpoints_), {}), 2);  // step-000001, latest
  EXPECT_EQ(run.steps(), std::vector<int64_t>{1});
}

TEST_F(RunFolderTest, save_that_fails_leaves_the_previous_checkpoint) {
  save(1);
  const ModelFolder input(scratch_ / "m");
  RunFolder run(run_);
  const auto bad_value = [](const std::string& name) {
    return name == "scale" ? at::zeros({5}) : at::Tensor();
  };
  EXPECT_THROW(run.save(state_of(2), input.writer(bad_value), 1), core::ContractError);
  EXPECT_EQ(run.steps(), std::vector<int64_t>{1});
  EXPECT_EQ(run.verify(1), "");
  EXPECT_EQ(std::distance(fs::directory_iterator(checkpoints_), {}), 2);
}

TEST_F(RunFolderTest, save_without_space_says_how_much_is_needed) {
  RunState state = state_of(1);
  // 2^47 bytes that exist only as strides.
  state.optimizer = {{"huge", at::zeros({1}).expand({int64_t{1} << 45})}};
  const ModelFolder input(scratch_ / "m");
  RunFolder run(run_);
  const auto same = [](const std::string&) { return at::Tensor(); };
  EXPECT_MESSAGE(
      core::RunError, "not enough space to save in", run.save(state, input.writer(same), 1));
  EXPECT_MESSAGE(
      core::RunError, "161061274 MiB are needed", run.save(state, input.writer(same), 1));
  EXPECT_TRUE(run.steps().empty());
}

TEST_F(RunFolderTest, space_is_known_before_the_first_save) {
  const RunFolder run(run_);
  constexpr uint64_t kHuge = uint64_t{1} << 60;
  EXPECT_MESSAGE(core::RunError, "not enough space to save in", run.check_space(kHuge, 1));
  run.check_space(1, 2);
  EXPECT_EQ(log_, "");
  const fs::space_info disk = fs::space(checkpoints_);
  run.check_space(disk.available / 4, 9);
  EXPECT_NE(log_.find("with trainer.keep_last 9 up to "), std::string::npos) << log_;
}

TEST_F(RunFolderTest, save_from_a_checkpoint_that_retention_removes_still_works) {
  save(1);
  const ModelFolder input(RunFolder(run_).folder_of(1) / "model");
  RunFolder run(run_);
  const auto same = [](const std::string&) { return at::Tensor(); };
  run.save(state_of(2), input.writer(same), 1);
  EXPECT_EQ(run.steps(), std::vector<int64_t>{2});
  run.save(state_of(3), input.writer(same), 1);
  EXPECT_EQ(run.verify(3), "");
  EXPECT_EQ(ModelFolder(run_).read("embed.weight")[0][0].item<int64_t>(), 1);
}

/// A run whose model/ is rounded to bfloat16, with the float32 values beside it.
class WideRun : public RunFolderTest {
 protected:
  void SetUp() override {
    const ModelFolder input(scratch_ / "m");
    wide_ = input.read("a.weight").to(at::kFloat) + kSmall;
    const auto updated = [&](const std::string& name) {
      return name == "a.weight" ? wide_ : at::Tensor();
    };
    RunState state;
    state.step = 3;
    state.state = core::Json::object();
    state.optimizer = {{"count", at::scalar_tensor(3, at::kLong)}, {"weight.a.weight", wide_}};
    RunFolder(run_).save(state, input.writer(updated), 0);
  }
  fs::path step() const { return checkpoints_ / "step-000003"; }

  static constexpr double kSmall = 1e-4;  // far below bfloat16's spacing at most values
  at::Tensor wide_;
};

TEST_F(WideRun, checkpoint_gives_what_was_trained_and_its_model_what_was_rounded) {
  const at::Tensor rounded = wide_.to(at::kBFloat16);
  for (const auto& path : {step(), checkpoints_ / "latest", run_}) {
    const ModelFolder opened(path);
    EXPECT_TRUE(at::equal(opened.read("a.weight"), wide_)) << path;
    EXPECT_EQ(opened.entry("a.weight").dtype, "BF16");
    EXPECT_EQ(opened.read("embed.weight").scalar_type(), at::kFloat);
    EXPECT_EQ(opened.describe(),
              (step() / "model").string() + " with the float32 weights of " +
                  (step() / "optimizer.safetensors").string());
  }
  EXPECT_TRUE(at::equal(ModelFolder(step() / "model").read("a.weight"), rounded));
  const ModelFolder narrow(step(), Digits::kRounded);
  EXPECT_TRUE(at::equal(narrow.read("a.weight"), rounded));
  EXPECT_EQ(narrow.describe(), (step() / "model").string());
}

TEST_F(WideRun, copy_of_the_checkpoint_is_its_model) {
  ModelFolder(step()).write_like(scratch_ / "out", [](const std::string&) { return at::Tensor(); });
  for (const char* file : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"})
    EXPECT_EQ(read_text(scratch_ / "out" / file), read_text(step() / "model" / file)) << file;
}

TEST_F(WideRun, save_says_how_much_rounding_takes) {
  const at::Tensor before = ModelFolder(scratch_ / "m").read("a.weight").to(at::kFloat);
  const at::Tensor rounded = wide_.to(at::kBFloat16).to(at::kFloat);
  const double lost = ((wide_ - rounded).norm() / (wide_ - before).norm()).item<double>();
  ASSERT_GT(lost, 0.5);
  EXPECT_NE(
      log_.find(core::str("the model/ of this save is BF16 as its input is, and rounding takes ",
                          std::lround(100.0 * lost),
                          " % of what was learned since ",
                          (scratch_ / "m").string())),
      std::string::npos)
      << log_;
  log_.clear();
  const ModelFolder input(scratch_ / "m");
  const auto far = [&](const std::string& name) {
    return name == "a.weight" ? wide_ + 7.0 : at::Tensor();
  };
  input.writer(far).write(scratch_ / "far");
  EXPECT_EQ(log_, "") << "large steps survive";
}

TEST_F(WideRun, wide_weights_that_are_damaged_or_gone_are_named) {
  const auto path = step() / "optimizer.safetensors";
  std::string bytes = read_text(path);
  bytes.back() = static_cast<char>(bytes.back() + 1);
  write_text(path, bytes);
  EXPECT_MESSAGE(FormatError,
                 "optimizer.safetensors differs from its checksum; give the run folder to get its "
                 "newest intact checkpoint, or " +
                     (step() / "model").string() + " for the rounded weights",
                 ModelFolder(step()));
  fs::remove(path);
  EXPECT_TRUE(at::equal(ModelFolder(step()).read("a.weight"), wide_.to(at::kBFloat16)));
  EXPECT_NE(log_.find("optimizer.safetensors is missing: "), std::string::npos) << log_;
}

}  // namespace
}  // namespace sgrpo::checkpoint
