// Metrics whose values follow from what happened in a step: recorded completions make it known.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class Metrics : public Runs {
 protected:
  /// The metrics of the first step.
  Json first(const std::string& name,
             const Overrides& overrides,
             Task task = Task::kPolicyGradient) const {
    return metrics_of(run(name, overrides, task)).at(0);
  }
  /// A step of one prompt a recording, in order.
  Overrides replay(const std::vector<std::pair<Json, Json>>& completions_and_rewards) const {
    auto data = rows(static_cast<int64_t>(completions_and_rewards.size()), 100);
    scratch_.write("train.jsonl", testing::to_jsonl(data));
    for (size_t i = 0; i < data.size(); ++i) {
      data[i]["completions"] = completions_and_rewards[i].first;
      data[i]["rewards"] = completions_and_rewards[i].second;
    }
    return {core::str("trainer.prompts_per_step=", data.size()),
            "data.shuffle=false",
            "rollout.replay=" + scratch_.write("replay.jsonl", testing::to_jsonl(data))};
  }
  /// A group that fails as a whole and one with two right answers; 2 is the turn's end.
  Overrides failed_and_mixed() const {
    return replay(
        {{{{30, 31, 2}, {30, 31, 32, 33, 34}, {30, 2}, {30}}, {0, 0, 0, 0}},
         {{{40, 41, 42, 2}, {40, 41, 42, 43, 44, 45, 46, 47}, {41, 2}, {42, 43, 44, 45, 46, 2}},
          {1, 0, 0, 1}}});
  }
};

void expect_values(const Json& row, const std::vector<std::pair<const char*, double>>& values) {
  for (const auto& [name, value] : values) {
    // A few sums of doubles of order 1.
    EXPECT_NEAR(row.at(name).get<double>(), value, 1e-12) << name;
  }
}

TEST_F(Metrics, lengths_cover_all_sampled_completions_and_no_injected_one) {
  // The last member of the first group is the victim: its length of 1 still counts.
  expect_values(first("lengths", both(failed_and_mixed(), {"injection.victim=last"})),
                {{"completions/mean_length", (3 + 5 + 2 + 1 + 4 + 8 + 2 + 6) / 8.0},
                 {"completions/min_length", 1},
                 {"completions/max_length", 8},
                 {"completions/clipped_ratio", 3 / 8.0},
                 {"completions/mean_terminated_length", (3 + 2 + 4 + 2 + 6) / 5.0}});
}

TEST_F(Metrics, rewards_are_those_before_injection_and_cgi_tells_what_came) {
  const double spread = std::sqrt(1 / 3.0);  // of {1, 0, 0, 1}, divisor 3
  expect_values(first("mixed", both(failed_and_mixed(), {"algorithm.std_eps=0.01"})),
                {{"reward", 2 / 8.0},
                 {"reward_std", spread / 2},
                 {"reward_with_injected", 3 / 8.0},
                 {"frac_reward_zero_std", 0.5},
                 {"group/frac_all_fail", 0.5},
                 {"group/frac_mixed", 0.5},
                 {"group/frac_all_pass", 0},
                 {"cgi/injected_frac", 0.5},
                 {"cgi/missing_gt_frac", 0},
                 {"cgi/frac_dead_after", 0},
                 {"cgi/injected_advantage", 0.75 / (0.5 + 0.01)},
                 {"cgi/injected_ratio_clipped_frac", 0}});
  // The cap leaves both groups of this step as they were.
  const Json fails = {{{30, 2}, {31, 2}, {32, 2}, {33, 2}}, {0, 0, 0, 0}};
  const Overrides failed = replay({{fails[0], fails[1]}, {fails[0], fails[1]}});
  expect_values(first("capped", both(failed, {"injection.max_fraction=0.5"})),
                {{"reward", 0},
                 {"reward_with_injected", 1 / 8.0},
                 {"frac_reward_zero_std", 1},
                 {"cgi/injected_frac", 0.5},
                 {"cgi/frac_dead_after", 0.5}});
}

TEST_F(Metrics, injected_tokens_are_scored_as_sft_scores_them) {
  const Overrides options = both(failed_and_mixed(), {"optim.lr=0"});
  const Json injected = first("injected", options);
  const std::vector<Json> failed = rows(1, 100);  // the one prompt that gets its ground truth
  const Json taught =
      first("sft",
            {"optim.lr=0",
             "trainer.prompts_per_step=1",
             "data.train=" + scratch_.write("failed.jsonl", testing::to_jsonl(failed))},
            Task::kSft);
  // Means of the same few f32 numbers, in batches of another form.
  EXPECT_NEAR(
      injected.at("cgi/injected_logp").get<double>(), -taught.at("loss").get<double>(), 1e-5);
  EXPECT_NEAR(
      injected.at("cgi/injected_entropy").get<double>(), taught.at("entropy").get<double>(), 1e-5);
  EXPECT_GT(taught.at("loss").get<double>(), 1.0);
  EXPECT_GT(taught.at("entropy").get<double>(), 1.0);
}

TEST_F(Metrics, clipped_shares_are_means_over_updates) {
  const Json fails = {{{30, 2}, {31, 2}, {32, 2}, {33, 2}}, {0, 0, 0, 0}};
  const Overrides options = both(replay({{fails[0], fails[1]}}),
                                 {"algorithm.epochs_per_rollout=2",
                                  "algorithm.clip_high=1e-6",
                                  "algorithm.clip_low=1e-6",
                                  "injection.gt_old_logprob=pi_old_score",
                                  "optim.lr=0.5"});
  // The first of two updates is on-policy and clips nothing; in the second the injected tokens'
  // ratios have left the range.
  const Json row = first("clipped", options);
  EXPECT_GT(row.at("cgi/injected_ratio_clipped_frac").get<double>(), 0.2);
  EXPECT_LE(row.at("cgi/injected_ratio_clipped_frac").get<double>(), 0.5);
  EXPECT_GT(row.at("clip_ratio/region_mean").get<double>(), 0.2);
  EXPECT_LE(row.at("clip_ratio/region_mean").get<double>(), 0.5);
  const Json free = first("unclipped", both(options, {"injection.gt_clip=false"}));
  EXPECT_EQ(free.at("cgi/injected_ratio_clipped_frac"), 0);
}

TEST_F(Metrics, updates_that_move_nothing_have_the_metrics_of_one) {
  testing::TinyCheckpoint other;
  other.seed = 8;
  testing::write_tiny_checkpoint(scratch_ / "other", other);
  const Overrides options = both(failed_and_mixed(),
                                 {"optim.lr=0",
                                  "algorithm.loss=reinforce",
                                  "algorithm.kl_coef=0.01",
                                  "algorithm.kl_ref=" + (scratch_ / "other").string()});
  const Json one = first("one", options);
  const Json three = first("three", both(options, {"algorithm.epochs_per_rollout=3"}));
  for (const char* name : {"loss", "grad_norm", "kl", "entropy", "cgi/injected_logp"}) {
    const double value = one.at(name).get<double>();
    EXPECT_GT(std::abs(value), 0.01) << name;
    EXPECT_NEAR(three.at(name).get<double>(), value, 1e-6 * std::abs(value)) << name;
  }
  const Json tight = first("tight", both(options, {"optim.max_grad_norm=1e-3"}));
  EXPECT_EQ(tight.at("grad_norm"), one.at("grad_norm")) << "the norm before clipping";
}

TEST_F(Metrics, constant_of_the_aggregation_is_max_new_tokens_by_default) {
  const Overrides options = both(failed_and_mixed(),
                                 {"optim.lr=0",
                                  "algorithm.loss=reinforce",
                                  "algorithm.aggregation=seq_mean_token_sum_const",
                                  "rollout.max_new_tokens=16"});
  const auto loss = [&](const std::string& name, const Overrides& more) {
    return first(name, both(options, more)).at("loss").get<double>();
  };
  const double standard = loss("standard", {});
  EXPECT_GT(std::abs(standard), 0.01);
  // Powers of two: equal to the last digit.
  EXPECT_EQ(standard, loss("same", {"algorithm.aggregation_constant=16"}));
  EXPECT_EQ(standard, 2 * loss("half", {"algorithm.aggregation_constant=32"}));
}

}  // namespace
}  // namespace sgrpo::trainer
