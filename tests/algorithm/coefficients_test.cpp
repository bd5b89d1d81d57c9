// Coefficients that move, against numbers worked out by hand.
#include "sgrpo/algorithm/coefficients.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

AlgorithmOptions with_kl(double target, double horizon) {
  AlgorithmOptions options;
  options.kl_coef = 0.2;
  options.kl_adaptive = {{"target", target}, {"horizon", horizon}};
  return options;
}

/// After an optimizer step of 64 completions of 10 tokens each.
double kl_after(double mean_kl, const AlgorithmOptions& options) {
  return follow(first_coefficients(options),
                {.kl = mean_kl * 640, .tokens = 640, .completions = 64},
                options)
      .kl;
}

// 0.2 (1 + clip(kl / 0.1 - 1, +-0.2) 64 / 1000)
TEST(AdaptiveKl, follows_the_relative_error_within_a_fifth) {
  const AlgorithmOptions options = with_kl(0.1, 1000);
  EXPECT_NEAR(kl_after(0.10, options), 0.2, 1e-15);
  EXPECT_NEAR(kl_after(0.11, options), 0.20128, 1e-12);
  EXPECT_NEAR(kl_after(0.15, options), 0.20256, 1e-12);
  EXPECT_NEAR(kl_after(9.0, options), 0.20256, 1e-12);
  EXPECT_NEAR(kl_after(0.0, options), 0.19744, 1e-12);
  EXPECT_EQ(with_coefficients(options, {.kl = 0.3}).kl_coef, 0.3);
}

TEST(AdaptiveKl, nothing_sampled_moves_nothing) {
  const AlgorithmOptions options = with_kl(0.1, 1000);
  EXPECT_EQ(follow(first_coefficients(options), {}, options), first_coefficients(options));
}

TEST(AdaptiveKl, the_defaults_are_those_of_verl) {
  AlgorithmOptions options = with_kl(0.1, 1e4), bare = options;
  bare.kl_adaptive = core::Json::object();
  EXPECT_EQ(kl_after(0.111, options), kl_after(0.111, bare));
}

AlgorithmOptions with_entropy(const core::Json& params) {
  AlgorithmOptions options;
  options.adaptive_entropy = params;
  return options;
}

Coefficients after(const Coefficients& before, double entropy, const AlgorithmOptions& options) {
  return follow(before, {.entropy = entropy * 50, .tokens = 50, .completions = 5}, options);
}

TEST(AdaptiveEntropy, acts_a_step_late_and_moves_by_delta_within_its_range) {
  const AlgorithmOptions options =
      with_entropy({{"target", 0.2}, {"delta", 0.25}, {"min", 0.0}, {"max", 0.6}});
  Coefficients now = first_coefficients(options);
  const auto applied = [&] { return with_coefficients(options, now).entropy_coef; };
  EXPECT_EQ(applied(), 0.0);
  now = after(now, 0.1, options);  // low: up
  EXPECT_EQ(now.entropy, 0.25);
  EXPECT_EQ(applied(), 0.25);
  now = after(now, 0.1, options);
  now = after(now, 0.1, options);
  EXPECT_EQ(now.entropy, 0.6) << "its highest value";
  now = after(now, 0.3, options);  // high: down, and off
  EXPECT_NEAR(now.entropy, 0.35, 1e-15);
  EXPECT_EQ(applied(), 0.0);
  now = after(now, 0.3, options);
  now = after(now, 0.3, options);
  EXPECT_EQ(now.entropy, 0.0) << "its lowest value";
}

TEST(AdaptiveEntropy, nothing_is_known_before_the_first_step) {
  AlgorithmOptions options = with_entropy({{"target", 100.0}});
  options.entropy_coef = 0.5;
  EXPECT_EQ(with_coefficients(options, first_coefficients(options)).entropy_coef, 0.0);
  const Coefficients now = after(first_coefficients(options), 3.0, options);
  EXPECT_EQ(with_coefficients(options, now).entropy_coef, 0.505);
}

TEST(Coefficients, what_stands_still_is_left_alone) {
  AlgorithmOptions options;
  options.kl_coef = 0.3;
  options.entropy_coef = 0.4;
  EXPECT_FALSE(has_moving_coefficient(options));
  const AlgorithmOptions same = with_coefficients(options, {.kl = 1, .entropy = 1});
  EXPECT_EQ(same.kl_coef, 0.3);
  EXPECT_EQ(same.entropy_coef, 0.4);
}

TEST(Coefficients, what_makes_no_sense_is_refused) {
  const auto refusal = [](const AlgorithmOptions& options, int64_t completions = 64) {
    return message_of([&] { check_coefficients(options, completions); });
  };
  EXPECT_EQ(refusal(with_kl(0.1, 1000)), "");
  AlgorithmOptions none = with_kl(0.1, 1000);
  none.kl_coef = 0.0;
  EXPECT_EQ(refusal(none),
            "algorithm.kl_adaptive is set, and algorithm.kl_coef is 0, which no factor moves: "
            "expected a kl_coef above 0 to begin with");
  EXPECT_EQ(
      refusal(with_kl(0.1, 12), 60),
      "algorithm.kl_adaptive.horizon is 12, expected more than 12 (0.2 x 60 completions of an "
      "optimizer step): the coefficient would not stay above 0");
  EXPECT_EQ(refusal(with_kl(0.0, 1000)),
            "algorithm.kl_adaptive.target is 0.0, expected a number in [1e-09, 1e+06]");
  AlgorithmOptions text;
  text.kl_adaptive = "on";
  EXPECT_EQ(refusal(text),
            "algorithm.kl_adaptive is \"on\", expected null or {target: 0.1, horizon: 10000}");
  EXPECT_NE(refusal(with_entropy({{"goal", 1}})).find("algorithm.adaptive_entropy.goal is unknown"),
            std::string::npos);
  AlgorithmOptions above = with_entropy({{"max", 0.1}});
  above.entropy_coef = 0.2;
  EXPECT_EQ(refusal(above),
            "algorithm.entropy_coef is 0.2, where algorithm.adaptive_entropy begins: expected a "
            "number in its [min, max] = [0, 0.1]");
}

AlgorithmOptions options_of(const core::Json& row) {
  AlgorithmOptions options;
  options.kl_coef = row.value("kl_coef", 0.0);
  options.kl_adaptive = row.value("kl_adaptive", core::Json());
  options.entropy_coef = row.value("entropy_coef", 0.0);
  options.adaptive_entropy = row.value("adaptive_entropy", core::Json());
  return options;
}

TEST(Coefficients, follow_as_those_of_trl_and_verl_do) {
  const std::vector<core::Json> rows = golden_rows("coefficients.jsonl");
  ASSERT_EQ(rows.size(), 8U);
  for (const core::Json& row : rows) {
    const AlgorithmOptions options = options_of(row);
    check_coefficients(options, 512);
    const bool is_kl = row.contains("kl_adaptive");
    Coefficients now = first_coefficients(options);
    for (const core::Json& step : row.at("steps")) {
      const double acted = with_coefficients(options, now).entropy_coef;
      EXPECT_NEAR(acted, step.value("acted", 0.0), 1e-12) << step;
      now = follow(now,
                   {.kl = step.value("kl", 0.0),
                    .entropy = step.value("entropy", 0.0),
                    .tokens = 1,
                    .completions = step.value("completions", 1.0)},
                   options);
      EXPECT_DOUBLE_EQ(is_kl ? now.kl : now.entropy, step.at("coef").get<double>()) << step;
    }
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
