// frozen: policies beside the one that learns, in whole runs.
#include "trainer/frozen.h"

#include "run_files.h"

namespace sgrpo::trainer {
namespace {

class FrozenRuns : public Runs {
 protected:
  /// A moving average that a shaper and the KL term read.
  static Overrides moving(const std::string& ema) {
    return both(coin(),
                {"frozen={ema: {" + ema + "}}",
                 "algorithm.kl_coef=0.1",
                 "algorithm.kl_ref=ema",
                 "trainer.save_every=1"});
  }
  std::filesystem::path frozen_of(const std::filesystem::path& run, int64_t step) const {
    return folder_of(run, step) / "frozen" / "ema" / "model.safetensors";
  }
};

TEST_F(FrozenRuns, an_average_follows_every_so_many_steps) {
  const auto folder =
      run("ema", both(moving("decay: 0.75, every: 2"), {"trainer.steps=4", "trainer.keep_last=0"}));
  const Tensors start = read_tensors(model() / "model.safetensors");
  const Tensors first = read_tensors(frozen_of(folder, 1)),
                second = read_tensors(frozen_of(folder, 2));
  const Tensors after_second = read_tensors(optimizer_of(folder, 2));
  double moved = 0.0;
  for (const auto& [name, tensor] : first) {
    EXPECT_TRUE(tensor.equal(start.at(name).to(at::kFloat))) << name << ": step 1 is not due";
    const auto wide = after_second.find(checkpoint::kWidePrefix + name);
    const at::Tensor leader =
        wide != after_second.end() ? wide->second : read_tensors(weights_of(folder, 2)).at(name);
    const at::Tensor expected = 0.75 * tensor + 0.25 * leader.to(at::kFloat);
    EXPECT_LT((second.at(name) - expected).abs().max().item<double>(), 1e-6) << name;
    moved = std::max(moved, (second.at(name) - tensor).abs().max().item<double>());
  }
  EXPECT_GT(moved, 0.0);
  expect_same_bytes(frozen_of(folder, 2), frozen_of(folder, 3));
}

TEST_F(FrozenRuns, a_run_that_goes_on_has_the_same_average) {
  const Overrides options =
      both(moving("decay: 0.5, every: 1"), {"algorithm.shaping=[{name: consistency}]"});
  const auto whole = run("whole", both(options, {"trainer.steps=4"}));
  run("halves", both(options, {"trainer.steps=2"}));
  const auto halves = run("halves", both(options, {"trainer.steps=4"}));
  expect_same_metrics(whole, halves);
  expect_same_bytes(weights_of(whole, 4), weights_of(halves, 4));
  expect_same_bytes(frozen_of(whole, 4), frozen_of(halves, 4));
}

TEST_F(FrozenRuns, one_that_never_moves_is_the_start) {
  const Overrides options = both(coin(), {"algorithm.kl_coef=0.1", "trainer.steps=3"});
  const auto start = run("start", options);
  const auto named = run("named", both(options, {"frozen={same: {}}", "algorithm.kl_ref=same"}));
  const auto folder = run(
      "folder",
      both(options, {"frozen={same: {from: " + model().string() + "}}", "algorithm.kl_ref=same"}));
  expect_same_metrics(start, named);
  expect_same_bytes(weights_of(start, 3), weights_of(named, 3));
  expect_same_bytes(weights_of(start, 3), weights_of(folder, 3));
  EXPECT_FALSE(std::filesystem::exists(folder_of(named, 3) / "frozen")) << "nothing of it moves";
}

TEST_F(FrozenRuns, a_teacher_equal_to_the_policy_teaches_nothing_at_first) {
  const Overrides options = both(coin(), {"trainer.steps=2"});
  const auto plain = run("plain", options);
  const auto taught =
      run("taught",
          both(options, {"algorithm.modifiers=[{name: teacher_kl, params: {frozen: start}}]"}));
  EXPECT_EQ(completions_of(plain, 1), completions_of(taught, 1));
  EXPECT_NE(completions_of(plain, 2), completions_of(taught, 2)) << "then it holds the policy back";
}

TEST_F(FrozenRuns, what_makes_no_sense_is_refused) {
  EXPECT_EQ(
      error_of({"algorithm.shaping=[{name: consistency}]"}),
      "algorithm.shaping and algorithm.modifiers score with a policy 'ema', which frozen does "
      "not name: expected frozen: {ema: {from: start, decay: 0.995, every: 10}}, or one of "
      "start");
  EXPECT_EQ(error_of({"frozen={ema: {decay: 0.9}}"}),
            "frozen.ema is used by nothing: neither algorithm.kl_ref (with a KL term) nor a shaper "
            "or modifier names it");
  EXPECT_EQ(error_of({"frozen={ema: {decay: 2}}"}),
            "frozen.ema.decay is 2, expected a number in [0, 1]");
  EXPECT_EQ(error_of({"frozen={ema: {decay: 0.5, from: other}}"}),
            "frozen.ema.decay is 0.5 and from is other: a policy that follows the one that learns "
            "begins where that does; expected from: start, or decay: null");
  EXPECT_EQ(error_of({"frozen={'a/b': {}}"}),
            "frozen names a policy 'a/b', expected letters, digits, - and _, and not start, which "
            "always exists");
  EXPECT_EQ(
      error_of({"frozen=[ema]"}),
      "frozen is [\"ema\"], expected named policies: {ema: {from: start, decay: 0.995, every: "
      "10}}");
}

}  // namespace
}  // namespace sgrpo::trainer
