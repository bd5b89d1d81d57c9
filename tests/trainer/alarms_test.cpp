// A run that learns nothing says so, once, and a healthy one says nothing.
#include "trainer/alarms.h"

#include <gtest/gtest.h>

#include "testing/scratch.h"

namespace sgrpo::trainer {
namespace {

using Values = std::vector<std::pair<const char*, double>>;
using Warnings = std::vector<std::string>;

/// A step that learns, with these values in place of its own.
StepReport step_with(int64_t step, const Values& values) {
  StepReport report;
  report.set("reward", 0.3 + 0.01 * static_cast<double>(step % 3));
  report.set("completions/clipped_ratio", 0.1);
  report.set("completions/mean_length", 50);
  report.set("group/frac_all_pass", 0.2);
  report.set("cgi/injected_frac", 0.5);
  report.set("cgi/frac_dead_after", 0.4);
  report.set("loss", step % 2 == 0 ? 1e-3 : -1e-3);
  report.set("grad_norm", 0.5);
  for (const auto& [name, value] : values) report.set(name, value);
  return report;
}

class AlarmsTest : public ::testing::Test {
 protected:
  Warnings feed(int64_t count, const Values& values) {
    Warnings all;
    for (int64_t i = 0; i < count; ++i) {
      ++step_;
      for (const std::string& text : alarms_.watch(step_, step_with(step_, values)))
        all.push_back(core::str(step_, ": ", text));
    }
    return all;
  }

  Alarms alarms_;
  int64_t step_ = 0;
};

TEST_F(AlarmsTest, healthy_run_says_nothing) { EXPECT_EQ(feed(300, {}), Warnings{}); }

TEST_F(AlarmsTest, injection_into_failing_groups_is_a_healthy_start) {
  EXPECT_EQ(feed(100, {{"reward", 0.0}, {"cgi/injected_frac", 1.0}, {"cgi/frac_dead_after", 0.0}}),
            Warnings{});
}

TEST_F(AlarmsTest, cut_completions_are_told_once_after_twenty_steps) {
  const Values cut = {{"completions/clipped_ratio", 0.94}};
  EXPECT_EQ(feed(19, cut), Warnings{});
  EXPECT_EQ(feed(1, {}), Warnings{}) << "19 x 0.94 and 0.1 are less than 9 of 10";
  EXPECT_EQ(feed(18, cut), Warnings{});
  EXPECT_EQ(feed(100, cut),
            (Warnings{"40: 9 of 10 completions of the last 20 steps were cut "
                      "(completions/clipped_ratio) and could not earn their reward: raise "
                      "rollout.max_new_tokens, or see verifier.truncated"}));
}

TEST_F(AlarmsTest, a_few_whole_completions_in_small_steps_hide_no_cut_run) {
  EXPECT_EQ(feed(2, {{"completions/clipped_ratio", 0.5}}), Warnings{});
  EXPECT_EQ(feed(18, {{"completions/clipped_ratio", 1.0}}).size(), 1U) << "37 of 40";
}

TEST_F(AlarmsTest, dead_groups_are_told_unless_all_pass) {
  EXPECT_EQ(feed(30, {{"cgi/frac_dead_after", 1.0}, {"group/frac_all_pass", 1.0}}), Warnings{});
  EXPECT_EQ(feed(30, {{"cgi/frac_dead_after", 1.0}}),
            (Warnings{"50: no group had any spread of rewards in the last 20 steps "
                      "(cgi/frac_dead_after = 1), so that nothing was learned: raise "
                      "rollout.group_size or rollout.temperature, set injection.when: all_fail, or "
                      "give easier rows"}));
}

TEST_F(AlarmsTest, constant_reward_below_one_is_told) {
  EXPECT_EQ(feed(30, {{"reward", 1.0}, {"cgi/injected_frac", 0.0}}), Warnings{});
  const Warnings told = feed(30, {{"reward", 0.25}, {"cgi/injected_frac", 0.0}});
  EXPECT_EQ(told,
            (Warnings{"50: the reward was 0.25 in each of the last 20 steps and no ground truth "
                      "was injected: look at completions/, and check the rows against "
                      "verifier.name and verifier.params with `sgrpo lint`"}));
}

TEST_F(AlarmsTest, collapsing_completions_are_told_unless_the_reward_rises) {
  feed(5, {{"reward", 0.3}});
  EXPECT_EQ(feed(30, {{"completions/mean_length", 9.0}, {"reward", 0.4}}), Warnings{});
  EXPECT_EQ(feed(30, {{"completions/mean_length", 9.0}, {"reward", 0.3}}),
            (Warnings{"55: completions shrank from 50 to 9 tokens (completions/mean_length) while "
                      "the reward did not rise: lower optim.lr, or raise algorithm.kl_coef"}));
}

TEST_F(AlarmsTest, spike_is_a_loss_or_norm_above_ten_medians) {
  feed(19, {});
  EXPECT_EQ(feed(1, {{"grad_norm", 50.0}}), Warnings{}) << "too early to know what is usual";
  EXPECT_EQ(feed(1, {{"grad_norm", 4.9}, {"loss", 0.0099}}), Warnings{});
  EXPECT_EQ(
      feed(1, {{"grad_norm", 10.0}, {"loss", 0.05}}),
      (Warnings{
          "22: step 22: loss is 0.05, 50 times its median of the last 100 steps: lower optim.lr "
          "or optim.max_grad_norm if it comes again",
          "22: step 22: grad_norm is 10, 20 times its median of the last 100 steps: lower "
          "optim.lr or optim.max_grad_norm if it comes again"}));
}

TEST_F(AlarmsTest, run_that_goes_on_counts_on_and_repeats_nothing) {
  const testing::Scratch scratch;
  const auto row = [](int64_t step) {
    return core::Json{{"step", step}, {"loss", 1}, {"completions/clipped_ratio", 1}};
  };
  std::vector<core::Json> rows = {{{"step", 0}, {"val/a/pass@1", 0}}};
  for (int64_t step = 1; step <= 19; ++step) rows.push_back(row(step));
  StepReport cut;
  cut.set("completions/clipped_ratio", 1);
  for (const size_t told : {1U, 0U}) {
    Alarms again;
    again.recall(scratch.write("metrics.jsonl", testing::to_jsonl(rows)));
    EXPECT_EQ(again.watch(static_cast<int64_t>(rows.size()), cut).size(), told);
    rows.push_back(row(20));
  }
  EXPECT_NO_THROW(alarms_.recall(scratch / "none"));
}

TEST_F(AlarmsTest, report_without_a_metric_raises_no_alarm_about_it) {
  StepReport sft;
  sft.set("loss", 1.0);
  for (int64_t step = 1; step <= 100; ++step) EXPECT_EQ(alarms_.watch(step, sft), Warnings{});
}

}  // namespace
}  // namespace sgrpo::trainer
