// rollout.filter_groups in whole runs.
#include "run_files.h"

namespace sgrpo::trainer {
namespace {

class Filtered : public Runs {
 protected:
  static Overrides filter() { return {"rollout.filter_groups=zero_spread"}; }
  static Overrides grpo() { return {"injection.when=never"}; }
};

TEST_F(Filtered, a_step_without_any_live_group_ends_at_the_bound_and_changes_nothing) {
  write_rows("train.jsonl", 40, 100);
  const testing::LogCapture log;
  Trainer(
      config("dead",
             both(both(filter(), grpo()),
                  {"rollout.max_generation_rounds=2", "trainer.steps=2", "trainer.save_every=1"})),
      Task::kPolicyGradient)
      .run();
  const auto folder = scratch_ / "dead";
  const Json row = metrics_of(folder).at(0);
  EXPECT_EQ(row.at("rollout/rounds"), 2);
  EXPECT_EQ(row.at("rollout/drawn"), 8);
  EXPECT_EQ(row.at("rollout/dropped"), 8);
  EXPECT_EQ(row.at("group/frac_all_fail"), 1);
  EXPECT_EQ(row.at("frac_reward_zero_std"), 1);
  EXPECT_EQ(row.at("reward"), 0);
  EXPECT_EQ(row.at("optim/no_signal_steps"), 1);
  EXPECT_FALSE(row.contains("cgi/injected_frac")) << "a share of no groups";
  EXPECT_EQ(row.at("epoch"), 8.0 / 40.0);
  EXPECT_EQ(completions_of(folder, 1).size(), 8U * 4U) << "everything sampled is kept";
  // The second step begins behind what the first one drew.
  std::set<std::string> prompts;
  for (const int64_t step : {1, 2}) {
    for (const Json& line : completions_of(folder, step))
      prompts.insert(line.at("prompt_id").get<std::string>());
  }
  EXPECT_EQ(prompts.size(), 16U);
  expect_same_bytes(weights_of(folder, 1), model() / "model.safetensors");
  EXPECT_NE(log.text().find("step 1: 4 of its 4 groups still have no spread of rewards after 2 "
                            "rounds of sampling (rollout.max_generation_rounds): it trains on the "
                            "others"),
            std::string::npos)
      << log.text();
}

TEST_F(Filtered, what_injection_repairs_stays) {
  const auto plain = run("plain", {"trainer.steps=2"});
  const auto filtered = run("filtered", both(filter(), {"trainer.steps=2"}));
  const Json row = metrics_of(filtered).at(0);
  EXPECT_EQ(row.at("rollout/rounds"), 1);
  EXPECT_EQ(row.at("rollout/drawn"), 4);
  EXPECT_EQ(row.at("rollout/dropped"), 0);
  EXPECT_FALSE(metrics_of(plain).at(0).contains("rollout/rounds"));
  expect_same_metrics(plain, filtered, {"rollout/"});
  expect_same_bytes(weights_of(plain, 2), weights_of(filtered, 2));
}

TEST_F(Filtered, flat_groups_make_way_and_every_group_trained_on_has_spread) {
  write_rows("train.jsonl", 40, 100);
  const auto folder =
      run("coin",
          both(both(coin(), grpo()), both(filter(), {"rollout.group_size=2", "trainer.steps=3"})));
  int64_t dropped = 0;
  for (const Json& row : metrics_of(folder)) {
    EXPECT_EQ(row.at("cgi/frac_dead_after"), 0);
    dropped += row.at("rollout/dropped").get<int64_t>();
    const auto lines = completions_of(folder, row.at("step").get<int64_t>());
    EXPECT_EQ(lines.size(), 2 * row.at("rollout/drawn").get<size_t>());
    double reward = 0.0;
    for (const Json& line : lines) reward += line.at("reward").get<double>();
    EXPECT_NEAR(row.at("reward").get<double>(), reward / static_cast<double>(lines.size()), 1e-12);
    const auto trained = std::count_if(
        lines.begin(), lines.end(), [](const Json& line) { return line.at("advantage") != 0.0; });
    EXPECT_EQ(
        trained,
        2 * (row.at("rollout/drawn").get<int64_t>() - row.at("rollout/dropped").get<int64_t>()));
  }
  EXPECT_GT(dropped, 0);
}

TEST_F(Filtered, a_run_that_goes_on_draws_the_prompts_that_it_would_have_drawn) {
  write_rows("train.jsonl", 40, 100);
  const Overrides options =
      both(both(coin(), grpo()), both(filter(), {"rollout.group_size=2", "trainer.save_every=1"}));
  const auto whole = run("whole", both(options, {"trainer.steps=4"}));
  run("halves", both(options, {"trainer.steps=2"}));
  const auto halves = run("halves", both(options, {"trainer.steps=4"}));
  expect_same_metrics(whole, halves);
  expect_same_bytes(weights_of(whole, 4), weights_of(halves, 4));
  EXPECT_EQ(completions_of(whole, 4), completions_of(halves, 4));
}

TEST_F(Filtered, a_replay_is_refused) {
  const auto replay = scratch_.write("replay.jsonl", "");
  EXPECT_EQ(error_of(both(filter(), {"rollout.replay=" + replay})),
            "rollout.filter_groups is zero_spread and rollout.replay is set: recorded groups are "
            "taken as they are; expected filter_groups: off, or no replay");
}

}  // namespace
}  // namespace sgrpo::trainer
