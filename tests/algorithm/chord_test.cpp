// CHORD's schedule and its weight of expert tokens, against numbers worked out by hand.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

double mu_of(const core::Json& params, int64_t step, int64_t steps) {
  const auto plan = plan_demonstrations(settings_for("chord", params), step, steps);
  EXPECT_DOUBLE_EQ(plan->own_weight + plan->weight, 1.0);
  return plan->weight;
}

TEST(Chord, mu_rises_linearly_and_falls_along_half_a_cosine) {
  const core::Json params = {
      {"mu_warmup_steps", 4}, {"mu_decay_steps", 8}, {"mu_peak", 0.9}, {"mu_valley", 0.1}};
  const std::vector<std::pair<int64_t, double>> expected = {{1, 0.0},
                                                            {2, 0.225},
                                                            {3, 0.45},
                                                            {5, 0.9},
                                                            {7, 0.7828427125},  // cos(pi / 4)
                                                            {9, 0.5},
                                                            {13, 0.1},
                                                            {99, 0.1}};
  for (const auto& [step, mu] : expected) EXPECT_NEAR(mu_of(params, step, 1000), mu, 1e-10) << step;
}

TEST(Chord, by_default_mu_falls_over_the_whole_run) {
  const core::Json none = core::Json::object();
  EXPECT_NEAR(mu_of(none, 1, 10), 0.9, 1e-12);
  EXPECT_NEAR(mu_of(none, 6, 10), 0.475, 1e-12);
  EXPECT_NEAR(mu_of(none, 11, 10), 0.05, 1e-12);
}

TEST(Chord, the_rollouts_take_the_clipped_loss) {
  const LossCase loss_case =
      make_loss_case({with_ratios({1.5, 0.9}, 1.0), with_ratios({0.5, 1.1}, -2.0)});
  EXPECT_EQ(gradient_values(loss_case, settings_for("chord")),
            gradient_values(loss_case, settings_for("clipped")));
}

TEST(Chord, other_losses_take_no_demonstrations) {
  EXPECT_FALSE(plan_demonstrations(settings_for("clipped"), 1, 10));
}

/// The coefficient on the gradient of one demonstrated token of probability `p`.
double coefficient(double p, bool phi) {
  reference::Sequence sequence;
  sequence.policy = sequence.old = {std::log(p)};
  sequence.entropy = {0.0};
  LossSettings settings = settings_for("chord", {{"phi", phi}});
  settings.algorithm.kl_coef = 0.3;
  const auto plan = plan_demonstrations(settings, 1, 10);
  EXPECT_EQ(plan->loss.algorithm.kl_coef, 0.0);
  return -gradient_values(make_loss_case({sequence}), plan->loss)[0];
}

TEST(Chord, phi_weighs_a_token_with_p_times_one_minus_p) {
  EXPECT_NEAR(coefficient(0.5, true), 0.25, 1e-15);
  EXPECT_NEAR(coefficient(0.9, true), 0.09, 1e-15);
  EXPECT_EQ(coefficient(1.0, true), 0.0);
  EXPECT_NEAR(coefficient(1e-300, true), 0.0, 1e-15);
  EXPECT_EQ(coefficient(0.5, false), 1.0);
}

}  // namespace
}  // namespace sgrpo::algorithm
