// Numbers that are none: no parameter and no file takes them, and the run finds its way back.
#include <limits>

#include "algorithm/loss/terms.h"
#include "sgrpo/types/non_finite.h"
#include "sgrpo/types/verdict.h"
#include "trainer/planted_loss.h"
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class PlantedLoss final : public algorithm::TokenLoss {
 public:
  PlantedLoss(const algorithm::LossSettings& /*settings*/, algorithm::MethodParams& /*params*/) {}
  at::Tensor token_loss(const algorithm::LossInputs& inputs) const override {
    const at::Tensor loss = -inputs.batch.advantages * inputs.policy;
    return at::GradMode::is_enabled() ? Planted::apply(loss) : loss;
  }
  bool learns_without_advantage() const override { return true; }  // each step updates
};

SGRPO_REGISTER_LOSS("planted", PlantedLoss);

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class Numbers : public Runs {
 protected:
  /// Steps of four rows in the order of the file.
  Overrides planted(const std::string& steps) const {
    return both(coin(), {"algorithm.loss=planted", "data.shuffle=false", "trainer.steps=" + steps});
  }
  std::vector<std::string> prompts_of(const std::filesystem::path& run, int64_t step) const {
    std::vector<std::string> ids;
    for (const Json& row : completions_of(run, step)) {
      const auto id = row.at("prompt_id").get<std::string>();
      if (ids.empty() || ids.back() != id) ids.push_back(id);
    }
    return ids;
  }
  static Json state_of(const std::filesystem::path& run, int64_t step) {
    const auto file = folder_of(run, step) / "state.json";
    return core::parse_json(core::read_file(file), file.string());
  }
  static void expect_steps(const std::filesystem::path& run, int64_t last) {
    const auto rows = metrics_of(run);
    ASSERT_EQ(rows.size(), static_cast<size_t>(last));
    for (int64_t step = 1; step <= last; ++step)
      EXPECT_EQ(rows[static_cast<size_t>(step - 1)].at("step"), step) << "no gap, no twin";
  }
  /// A model whose gradient overflows.
  std::string overflowing_model(const std::string& run) const {
    const auto folder = scratch_ / ("huge-" + run);
    checkpoint::ModelFolder(model()).write_like(folder, [&](const std::string& name) {
      const at::Tensor value = checkpoint::ModelFolder(model()).read(name);
      return name.find("embed_tokens") != std::string::npos ? value * 1e38 : at::Tensor();
    });
    return folder.string();
  }
};

TEST_F(Numbers, a_loss_or_gradient_that_is_none_skips_its_update_and_is_counted) {
  for (const bool in_loss : {true, false}) {
    // The square root of 0 has a value, but no gradient.
    const Planted plan([in_loss](int64_t call, const at::Tensor& loss) {
      if (call != 2) return loss;
      return in_loss ? loss * kNaN : loss + (loss * 0.0).sqrt();
    });
    const auto folder = run(in_loss ? "loss" : "gradient",
                            both(planted("3"), {"trainer.save_every=1", "trainer.keep_last=0"}));
    expect_same_bytes(weights_of(folder, 1), weights_of(folder, 2));
    expect_same_bytes(optimizer_of(folder, 1), optimizer_of(folder, 2));
    EXPECT_EQ(metrics_of(folder)[1].at("optim/skipped_steps"), 1);
    EXPECT_GT(
        max_difference(read_tensors(weights_of(folder, 2)), read_tensors(weights_of(folder, 3))),
        0.0);
    EXPECT_EQ(state_of(folder, 2).at("skips_in_a_row"), 1);
    EXPECT_EQ(state_of(folder, 3).at("skips_in_a_row"), 0);
  }
}

TEST_F(Numbers, three_such_steps_go_back_to_the_newest_checkpoint_and_pass_over_their_rows) {
  const Planted plan([](int64_t call, const at::Tensor& loss) {
    return call >= 4 && call <= 6 ? loss * kNaN : loss;
  });
  const testing::LogCapture log;
  Trainer(config("run", both(planted("6"), {"trainer.save_every=2", "trainer.keep_last=0"})),
          Task::kPolicyGradient)
      .run();
  const auto folder = scratch_ / "run";
  EXPECT_NE(
      log.text().find("the updates of steps 4 to 6 were all left out for numbers that are not "
                      "finite: the run goes back, and passes over positions 12 to 23 of the "
                      "training stream"),
      std::string::npos)
      << log.text();
  EXPECT_NE(log.text().find("continuing after step 4"), std::string::npos);
  expect_steps(folder, 6);
  const std::vector<std::string> first_rows = {"row-100", "row-101", "row-102", "row-103"};
  EXPECT_EQ(prompts_of(folder, 4), first_rows) << "step 4 was committed with positions 12 to 15";
  EXPECT_EQ(prompts_of(folder, 5), first_rows) << "positions 24 to 27";
  const Json state = state_of(folder, 6);
  EXPECT_EQ(state.at("passed_over"), Json::parse("[[12, 24]]"));
  EXPECT_EQ(state.at("position"), 32);
  EXPECT_EQ(state.at("went_back_at"), 6);
  EXPECT_EQ(metrics_of(folder)[5].at("optim/skipped_steps"), 3) << "what happened stays counted";
}

TEST_F(Numbers, run_without_a_checkpoint_goes_back_to_its_model) {
  const Planted plan([](int64_t call, const at::Tensor& loss) {
    return call >= 2 && call <= 4 ? loss * kNaN : loss;
  });
  const auto folder = run("run", planted("4"));
  expect_steps(folder, 4);
  EXPECT_EQ(prompts_of(folder, 1), prompts_of(folder, 4)) << "positions 0 to 3, then 24 to 27";
  EXPECT_EQ(state_of(folder, 4).at("passed_over"), Json::parse("[[4, 16]]"));
  EXPECT_EQ(read_tensors(optimizer_of(folder, 4)).at("count").item<int64_t>(), 4);
}

TEST_F(Numbers, way_back_survives_a_stop_between_two_such_steps) {
  const Overrides options = both(planted("7"), {"trainer.save_every=1", "trainer.keep_last=0"});
  const auto broken = [](int64_t first) {
    return [first](int64_t call, const at::Tensor& loss) {
      return call >= first && call < first + 3 ? loss * kNaN : loss;
    };
  };
  std::filesystem::path whole, cut;
  {
    const Planted plan(broken(3));
    whole = run("whole", options);
  }
  {
    const Planted plan(broken(3));
    run("cut", both(options, {"trainer.steps=4"}));
  }
  {
    const Planted plan(
        [](int64_t call, const at::Tensor& loss) { return call == 1 ? loss * kNaN : loss; });
    cut = run("cut", options);
  }
  expect_same_metrics(whole, cut);
  expect_same_bytes(weights_of(whole, 7), weights_of(cut, 7));
  EXPECT_EQ(state_of(whole, 7).at("passed_over"), state_of(cut, 7).at("passed_over"));
}

TEST_F(Numbers, second_way_back_within_100_steps_saves_and_ends_the_run) {
  const Planted plan([](int64_t, const at::Tensor& loss) { return loss * kNaN; });
  const testing::LogCapture quiet;
  const std::string message = testing::message_of<core::RunError>(
      [&] { Trainer(config("run", planted("9")), Task::kPolicyGradient).run(); });
  EXPECT_EQ(
      message,
      "the updates of steps 1 to 3 were all left out for numbers that are not finite, and the "
      "run went back for that reason at step 3 already: lower optim.lr or "
      "optim.max_grad_norm, or take model.dtype: float32");
  expect_same_bytes(weights_of(scratch_ / "run", 3), model() / "model.safetensors");
}

TEST_F(Numbers, overflowing_model_neither_ends_with_0_nor_learns) {
  for (const Task task : {Task::kSft, Task::kPolicyGradient}) {
    const std::string name = task == Task::kSft ? "sft" : "train";
    const testing::LogCapture quiet;
    const std::string message = testing::message_of<core::RunError>([&] {
      Trainer(config(name, {"trainer.steps=9", "model.path=" + overflowing_model(name)}), task)
          .run();
    });
    EXPECT_EQ(message.find("the updates of steps 1 to 3 were all left out"), 0U) << message;
  }
}

TEST_F(Numbers, reward_and_advantage_that_are_none_are_told_apart_from_broken_contracts) {
  Verdict verdict;
  verdict.reward = std::numeric_limits<double>::infinity();
  EXPECT_THROW(verdict.validate(), NonFiniteError);
}

}  // namespace
}  // namespace sgrpo::trainer
