// Hand-worked golds of the losses that compare members of a group, or tokens of a whole step.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

/// Sequences of one token with these log-ratios and advantages.
LossCase members(const Doubles& log_ratios, const Doubles& advantages) {
  std::vector<reference::Sequence> sequences;
  for (size_t i = 0; i < log_ratios.size(); ++i)
    sequences.push_back(with_ratios({std::exp(log_ratios[i])}, advantages[i]));
  return make_loss_case(sequences);
}

double loss_of_group(const LossCase& loss_case, const LossSettings& settings) {
  return loss_of(loss_case, settings).loss.item<double>();
}

// x = (0.2, -0.2): mean 0, std 0.2 sqrt 2, A^ = +-0.7071067812.
TEST(Reg, is_zero_where_the_standardised_log_ratios_are_the_advantages) {
  const LossSettings settings = settings_for("reg");
  EXPECT_NEAR(
      loss_of_group(members({0.2, -0.2}, {0.7071067812, -0.7071067812}), settings), 0, 1e-15);
  // (1 - 0.7071067812)^2 = 0.0857864376 and 0.5, halved.
  EXPECT_NEAR(loss_of_group(members({0.2, -0.2}, {1, 0}), settings), 0.2928932188, 1e-10);
}

TEST(Reg, the_first_update_of_a_rollout_has_a_gradient) {
  // A^ = x - mean x = 0 there: slopes of the mean of (A - x + mean x)^2 are -A1 / 2 + A2 / 2.
  const LossSettings settings = settings_for("reg");
  const LossCase loss_case = members({0, 0}, {1, -1});
  EXPECT_EQ(gradient_values(loss_case, settings), (Doubles{-1, 1}));
  EXPECT_EQ(loss_of_group(loss_case, settings), 1.0);
  LossCase alone = members({0, 0}, {1, -1});
  alone.batch.group = {-1, -1};
  EXPECT_EQ(gradient_values(alone, settings), (Doubles{0, 0})) << "nobody to compare with";
}

TEST(Reg, groups_are_told_apart) {
  LossCase loss_case = members({0.2, 1.0, -0.2, 3.0}, {1, 0, 0, 0});
  loss_case.batch.group = {7, 3, 7, 3};
  // The second group's A^ are +-0.7071: 0.5 each; the mean of four.
  EXPECT_NEAR(loss_of_group(loss_case, settings_for("reg")), (0.0857864376 + 1.5) / 4, 1e-10);
}

TEST(Reg, knows_zero_advantages_and_asks_for_whole_groups) {
  const auto loss = LossRegistry::get("loss", "reg")(settings_for("reg"));
  EXPECT_TRUE(loss->learns_without_advantage());
  EXPECT_TRUE(loss->needs_whole_groups());
}

TEST(Real, on_policy_groups_have_the_hand_values) {
  const LossSettings settings = settings_for("real");
  const LossCase pair = members({0, 0}, {1, -1});
  EXPECT_NEAR(loss_of_group(pair, settings), 2 * 0.6931471806, 1e-9);
  EXPECT_EQ(gradient_values(pair, settings), (Doubles{-1, 1}));  // half of 1 / tau
  EXPECT_NEAR(loss_of_group(members({0, 0, 0}, {1, 1, 0}), settings),
              1.0986122887 + 0.6931471806,  // log 3 + log 2
              1e-9);
}

TEST(Real, scores_are_divided_by_tau) {
  // exp(-2 log 1.5) = 1 / 2.25 and exp(-2 log 2) = 1/4.
  const LossCase pair = members({std::log(1.5), -std::log(2.0)}, {1, -1});
  EXPECT_NEAR(loss_of_group(pair, settings_for("real")), 0.3677247801 + 0.2231435513, 1e-9);
  EXPECT_NEAR(loss_of_group(pair, settings_for("real", {{"tau", 1}})),
              0.5108256238 + 0.4054651081,  // log(5/3) + log(3/2)
              1e-9);
}

TEST(Real, is_the_mean_over_groups_of_both_kinds_whatever_the_aggregation) {
  LossCase loss_case = make_loss_case({with_ratios({1, 1, 1}, 1.0),
                                       with_ratios({1}, -1.0),
                                       with_ratios({1, 1}, 1.0),
                                       with_ratios({1, 1}, 1.0)});
  loss_case.batch.group = {0, 0, 1, 1};  // the second is dead
  for (const Aggregation aggregation : {Aggregation::kTokenMean,
                                        Aggregation::kSeqMeanTokenMean,
                                        Aggregation::kSeqMeanTokenSum,
                                        Aggregation::kSeqMeanTokenSumConst}) {
    LossSettings settings = settings_for("real");
    settings.algorithm.aggregation = aggregation;
    settings.aggregation_constant = 5;
    EXPECT_NEAR(loss_of_group(loss_case, settings), 2 * 0.6931471806, 1e-9)
        << core::name_of(aggregation);
    const auto gradient = gradient_values(loss_case, settings);
    EXPECT_NEAR(gradient[0], -1.0 / 3, 1e-12);
    EXPECT_NEAR(gradient[3], 1.0, 1e-12);
    EXPECT_EQ(gradient[4], 0.0);
  }
}

TEST(Real, token_options_are_refused_with_the_reason) {
  AlgorithmOptions options;
  options.loss = "real";
  check_loss(options, {});
  options.top_entropy_quantile = 0.2;
  EXPECT_EQ(
      message_of([&] { check_loss(options, {}); }),
      "algorithm.top_entropy_quantile acts on single tokens, but algorithm.loss real compares "
      "the members of a group as a whole: leave it at its default or choose another loss");
}

/// Three tokens of two sequences: mean A = -1/3, mean log p = -2, so cov = (4/3, 2/3, 0).
LossCase three_tokens() {
  return make_loss_case(
      {{.policy = {-1}, .old = {-1.1}, .ref = {}, .entropy = {0}, .advantage = 1},
       {.policy = {-3, -2}, .old = {-3.1, -1.95}, .ref = {}, .entropy = {0, 0}, .advantage = -1}});
}

TEST(KlCov, the_tokens_of_largest_covariance_pay) {
  LossSettings settings = settings_for("kl_cov");  // one token of three
  settings.algorithm.aggregation = Aggregation::kTokenMean;
  const double up = std::exp(0.1), down = std::exp(-0.05);
  const auto one = gradient_values(three_tokens(), settings);
  EXPECT_NEAR(one[0], (-up + 1) / 3, 1e-12);
  EXPECT_NEAR(one[1], up / 3, 1e-12);
  EXPECT_NEAR(one[2], down / 3, 1e-12);
  settings.algorithm.params["loss"] = {{"share", 0.7}, {"coef", 0.5}};  // two of three
  const auto two = gradient_values(three_tokens(), settings);
  EXPECT_NEAR(two[0], (-up + 0.5) / 3, 1e-12);
  EXPECT_NEAR(two[1], (up + 0.5) / 3, 1e-12);
  EXPECT_NEAR(two[2], down / 3, 1e-12);
}

TEST(ClipCov, candidates_lose_their_term) {
  LossSettings settings =
      settings_for("clip_cov", {{"share", 1.0}, {"cov_low", 0.5}, {"cov_high", 1.0}});
  settings.algorithm.aggregation = Aggregation::kTokenMean;
  const auto gradient = gradient_values(three_tokens(), settings);
  EXPECT_NEAR(gradient[0], -std::exp(0.1) / 3, 1e-12) << "its covariance is above";
  EXPECT_EQ(gradient[1], 0.0);
  EXPECT_NEAR(gradient[2], std::exp(-0.05) / 3, 1e-12);
  settings.algorithm.params["loss"] = {{"cov_low", 5}, {"cov_high", 1}};
  EXPECT_EQ(message_of([&] { loss_of(three_tokens(), settings); }),
            "algorithm.params.loss.cov_low is 5, expected less than cov_high (1)");
}

/// Which of two candidates is dropped.
std::vector<bool> dropped(const LossCase& loss_case, const LossSettings& settings) {
  std::vector<bool> result;
  for (const double slope : gradient_values(loss_case, settings)) result.push_back(slope == 0.0);
  return result;
}

TEST(ClipCov, as_many_as_the_share_are_drawn_by_key) {
  LossSettings settings = settings_for("clip_cov", {{"share", 0.34}, {"cov_low", 0.5}});
  std::map<std::vector<bool>, int> seen;
  for (uint64_t step = 0; step < 40; ++step) {
    LossCase loss_case = three_tokens();
    loss_case.context.key.step = step;
    ++seen[dropped(loss_case, settings)];
    EXPECT_EQ(dropped(loss_case, settings), dropped(loss_case, settings));
  }
  ASSERT_EQ(seen.size(), 2u) << "one of three tokens, of two candidates";
  EXPECT_GT((seen[{true, false, false}]), 5);
  EXPECT_GT((seen[{false, true, false}]), 5);
}

}  // namespace
}  // namespace sgrpo::algorithm
