// export --interpolate: what is mixed with what, in which digits, and what keeps its bytes.
#include <ATen/ATen.h>

#include "cli/program.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/checkpoint/run_folder.h"

namespace sgrpo::cli {
namespace {

namespace fs = std::filesystem;
using checkpoint::Digits;
using checkpoint::ModelFolder;

/// A bfloat16 base, and a checkpoint of ours trained from it by steps that bfloat16 cannot hold:
/// one matrix and the embedding moved.
class Interpolate : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::TinyCheckpoint tiny;
    tiny.dtype = at::kBFloat16;
    testing::write_tiny_checkpoint(base(), tiny);
    const ModelFolder folder(base());
    checkpoint::RunState state;
    state.step = 1;
    state.state = core::Json::object();
    for (const char* name : kMoved) {
      const at::Tensor start = folder.read(name).to(at::kFloat);
      trained_[name] = start + 1e-4 * at::sin(at::arange(start.numel())).view(start.sizes());
      state.optimizer.emplace_back(checkpoint::kWidePrefix + std::string(name), trained_[name]);
    }
    checkpoint::RunFolder(scratch_ / "run")
        .save(state, folder.writer([this](const std::string& name) { return trained(name); }), 0);
  }

  at::Tensor trained(const std::string& name) const {
    const auto found = trained_.find(name);
    return found == trained_.end() ? at::Tensor() : found->second;
  }
  fs::path base() const { return scratch_ / "base"; }
  fs::path step() const { return scratch_ / "run" / "checkpoints" / "latest"; }
  Outcome run_export(const std::vector<std::string>& more) const {
    fs::remove_all(scratch_ / "out");
    std::vector<std::string> arguments = {"export", "--output", (scratch_ / "out").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  Outcome mix(const fs::path& folder, const std::string& share, const fs::path& with) const {
    return run_export(
        {"--checkpoint", folder.string(), "--interpolate", share, "--base", with.string()});
  }
  std::string weights_of(const fs::path& folder) const {
    return core::read_file(folder / "model.safetensors");
  }

  static constexpr const char* kMoved[] = {"model.embed_tokens.weight",
                                           "model.layers.0.mlp.up_proj.weight"};
  testing::Scratch scratch_;
  std::map<std::string, at::Tensor> trained_;
};

TEST_F(Interpolate, wide_weights_are_mixed_in_float32_and_rounded_once) {
  for (const double share : {0.25, 0.5, 3.0}) {
    // Beyond 1 the flag is refused: what it extrapolates is nobody's checkpoint.
    const Outcome outcome = mix(step(), core::str(share), base());
    if (share > 1.0) {
      EXPECT_EQ(outcome.code, 2);
      continue;
    }
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("with the float32 weights of"), std::string::npos) << outcome.err;
    const ModelFolder start(base()), out(scratch_ / "out");
    ASSERT_EQ(out.names(), start.names());
    for (const std::string& name : start.names()) {
      const at::Tensor value = trained(name), before = start.read(name);
      const at::Tensor expected =
          value.defined() ? value * share + before.to(at::kFloat) * (1.0 - share) : before;
      EXPECT_TRUE(at::equal(out.read(name), expected.to(at::kBFloat16))) << name;
    }
  }
}

TEST_F(Interpolate, ends_are_the_checkpoint_and_the_base) {
  ASSERT_EQ(run_export({"--checkpoint", step().string()}).code, 0);
  const std::string plain = weights_of(scratch_ / "out");
  EXPECT_EQ(plain, weights_of(step() / "model"));
  ASSERT_EQ(mix(step(), "1", base()).code, 0);
  EXPECT_EQ(weights_of(scratch_ / "out"), plain);
  ASSERT_EQ(mix(step(), "0", base()).code, 0);
  EXPECT_EQ(weights_of(scratch_ / "out"), weights_of(base()));
}

TEST_F(Interpolate, base_of_ours_is_read_wide_too) {
  ASSERT_EQ(mix(base(), "0.5", step()).code, 0);
  const std::string one = weights_of(scratch_ / "out");
  ASSERT_EQ(mix(step(), "0.5", base()).code, 0);
  EXPECT_EQ(weights_of(scratch_ / "out"), one);
}

TEST_F(Interpolate, flags_and_folders_that_do_not_belong_together_are_refused) {
  const std::string flags = "--interpolate W and --base DIR belong together: give both, or neither";
  EXPECT_EQ(run_export({"--checkpoint", step().string(), "--interpolate", "0.5"}).last_error_line(),
            "sgrpo: error: " + flags);
  EXPECT_EQ(run_export({"--checkpoint", step().string(), "--base", base().string()}).code, 2);
  testing::TinyCheckpoint other;
  other.config["text_config"]["intermediate_size"] = 40;
  testing::write_tiny_checkpoint(scratch_ / "other", other);
  const Outcome outcome = mix(step(), "0.5", scratch_ / "other");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(scratch_.shorten(outcome.last_error_line())
                .find("--base other has another shape for tensor 'model.layers.0.mlp."),
            std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

// Every command, not export alone.
TEST_F(Interpolate, commands_open_a_checkpoint_with_its_wide_weights) {
  scratch_.write("in.jsonl", "{\"prompt\": \"what\", \"completion\": \"a bag\"}\n");
  const auto logprobs = [&](const fs::path& folder) {
    const Outcome outcome = run({"logprobs",
                                 "--model",
                                 folder.string(),
                                 "--input",
                                 (scratch_ / "in.jsonl").string(),
                                 "--output",
                                 (scratch_ / "out.jsonl").string()});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return core::read_file(scratch_ / "out.jsonl");
  };
  const ModelFolder opened(step());
  const fs::path wide = scratch_ / "wide";  // the same values as float32 files
  testing::TinyCheckpoint tiny;
  testing::write_tiny_checkpoint(wide, tiny);
  const ModelFolder layout(wide);
  layout.write_like(scratch_ / "float32",
                    [&](const std::string& name) { return opened.read(name).to(at::kFloat); });
  EXPECT_EQ(logprobs(step()), logprobs(scratch_ / "float32"));
  EXPECT_NE(logprobs(step()), logprobs(step() / "model"));
}

}  // namespace
}  // namespace sgrpo::cli
