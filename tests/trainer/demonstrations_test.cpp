// demonstrations: a stream of their own beside the rollouts, in whole runs.
#include "trainer/demonstrations.h"

#include "run_files.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

class DemonstrationRuns : public Runs {
 protected:
  DemonstrationRuns() { write_rows("shown.jsonl", 6, 300); }

  /// Loss `chord` at a constant mu.
  Overrides chord(double mu, const std::string& more = "") const {
    return both(
        stream(),
        {core::str("algorithm.params={loss: {mu_peak: ", mu, ", mu_valley: ", mu, more, "}}"),
         "algorithm.loss=chord"});
  }
  Overrides stream() const {
    return {core::str(
        "demonstrations={data: ", (scratch_ / "shown.jsonl").string(), ", prompts_per_step: 6}")};
  }
  static double at(const Json& row, const std::string& name) { return row.at(name).get<double>(); }
};

TEST_F(DemonstrationRuns, the_loss_is_a_weighted_sum_of_both_parts) {
  const Json arm = metrics_of(run("arm", coin()))[0];
  const auto nll =
      run("nll",
          {"data.train=" + (scratch_ / "shown.jsonl").string(), "trainer.prompts_per_step=6"},
          Task::kSft);
  const auto folder = run("chord", both(coin(), chord(0.3)));
  const Json row = metrics_of(folder)[0];
  EXPECT_NEAR(at(row, "demonstrations/loss"), at(metrics_of(nll)[0], "loss"), 1e-6);
  EXPECT_NEAR(at(row, "loss"), 0.7 * at(arm, "loss") + 0.3 * at(row, "demonstrations/loss"), 1e-6);
  EXPECT_EQ(at(row, "demonstrations/weight"), 0.3);
  EXPECT_EQ(at(row, "demonstrations/rows"), 6);
  EXPECT_EQ(at(row, "num_tokens") - at(arm, "num_tokens"), at(row, "demonstrations/tokens"));
  EXPECT_EQ(at(row, "reward"), at(arm, "reward"));
  EXPECT_EQ(completions_of(scratch_ / "arm", 1), completions_of(folder, 1));
}

TEST_F(DemonstrationRuns, beside_an_nll_retention_each_keeps_its_share) {
  const Overrides retention = {core::str("retention={data: ",
                                         (scratch_ / "val.jsonl").string(),
                                         ", kind: rows, loss: nll, weight: 0.2}")};
  const Json row = metrics_of(run("both", both(both(coin(), chord(0.5)), retention)))[0];
  const Json arm = metrics_of(run("arm", coin()))[0];
  EXPECT_NEAR(at(row, "loss"),
              0.8 * (0.5 * at(arm, "loss") + 0.5 * at(row, "demonstrations/loss")) +
                  0.2 * at(row, "retention/loss"),
              1e-6);
}

TEST_F(DemonstrationRuns, phi_learns_less_of_what_is_unlikely) {
  const auto plain = run("plain", chord(1.0)), phi = run("phi", chord(1.0, ", phi: true"));
  EXPECT_LT(at(metrics_of(phi)[0], "demonstrations/loss"),
            0.26 * at(metrics_of(plain)[0], "demonstrations/loss"))
      << "p (1 - p) is at most a quarter";
  EXPECT_GT(max_difference(read_tensors(weights_of(plain, 1)), read_tensors(weights_of(phi, 1))),
            0.0);
}

TEST_F(DemonstrationRuns, a_run_that_goes_on_takes_the_rows_that_come_next) {
  const Overrides options =
      both(both(coin(), stream()),
           {"algorithm.loss=chord",
            "algorithm.params={loss: {mu_warmup_steps: 1, mu_decay_steps: 4}}",
            "demonstrations.prompts_per_step=4",
            "trainer.save_every=1"});
  const auto whole = run("whole", both(options, {"trainer.steps=4"}));
  run("halves", both(options, {"trainer.steps=2"}));
  const auto halves = run("halves", both(options, {"trainer.steps=4"}));
  EXPECT_EQ(metrics_of(whole)[0].at("demonstrations/weight"), 0.0);
  EXPECT_FALSE(metrics_of(whole)[0].contains("demonstrations/loss")) << "nothing is learned of it";
  expect_same_metrics(whole, halves);
  expect_same_bytes(weights_of(whole, 4), weights_of(halves, 4));
}

TEST_F(DemonstrationRuns, supervised_steps_take_none) {
  const auto folder =
      run("warm", both(both(coin(), chord(0.5)), {"trainer.sft_steps=1", "trainer.steps=2"}));
  EXPECT_FALSE(metrics_of(folder)[0].contains("demonstrations/loss"));
  EXPECT_TRUE(metrics_of(folder)[1].contains("demonstrations/loss"));
}

TEST_F(DemonstrationRuns, what_makes_no_sense_is_refused) {
  EXPECT_EQ(error_of({"algorithm.loss=chord"}),
            "algorithm.loss is chord, which learns from demonstrations beside the rollouts: set "
            "demonstrations.data");
  EXPECT_EQ(error_of(stream()),
            "demonstrations.data is set, but algorithm.loss clipped takes no demonstrations: "
            "expected algorithm.loss: chord, or no demonstrations");
  auto data = rows(1, 300);
  data[0].erase("ground_truth");
  scratch_.write("shown.jsonl", testing::to_jsonl(data));
  const testing::LogCapture log;
  EXPECT_THROW(Trainer(config("rows", chord(0.5)), Task::kPolicyGradient).run(), core::UserError);
  EXPECT_NE(scratch_.shorten(log.text())
                .find("bad row: shown.jsonl:1 (id 'row-300'): no completion, "
                      "ground_truth_completion or ground_truth to demonstrate "
                      "(demonstrations.data)"),
            std::string::npos)
      << log.text();
}

// The coefficient goes on where it stood: a run in two halves is the run in one.
TEST_F(DemonstrationRuns, moving_coefficients_are_part_of_the_state) {
  const Overrides options = both(coin(),
                                 {"algorithm.kl_coef=0.1",
                                  "algorithm.kl_adaptive={target: 0.001, horizon: 100}",
                                  "algorithm.adaptive_entropy={target: 100}",
                                  "trainer.save_every=1"});
  for (const std::string place : {"loss", "reward"}) {
    const Overrides placed = both(options, {"algorithm.kl_place=" + place});
    const auto whole = run("whole-" + place, both(placed, {"trainer.steps=4"}));
    run("halves-" + place, both(placed, {"trainer.steps=2"}));
    const auto halves = run("halves-" + place, both(placed, {"trainer.steps=4"}));
    expect_same_metrics(whole, halves);
    expect_same_bytes(weights_of(whole, 4), weights_of(halves, 4));
    const auto rows = metrics_of(whole);
    EXPECT_DOUBLE_EQ(at(rows[0], "kl_coef"), 0.1 * (1 - 0.2 * 16 / 100)) << "no KL yet";
    EXPECT_NE(at(rows[3], "kl_coef"), at(rows[2], "kl_coef"));
    EXPECT_DOUBLE_EQ(at(rows[3], "entropy_coef"), 0.02);
  }
}

}  // namespace
}  // namespace sgrpo::trainer
