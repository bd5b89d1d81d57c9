#include <gtest/gtest.h>

#include "sgrpo/core/error.h"
#include "sgrpo/core/names.h"
#include "sgrpo/optim/optimizer.h"

namespace sgrpo::optim {
namespace {

// Few roundings of doubles: 8 ulps of 1.
constexpr double kTolerance = 8 * 2.3e-16;

OptimOptions make(double lr,
                  int64_t warmup_steps = 0,
                  const std::string& schedule = "constant",
                  double min_lr_frac = 0.0) {
  OptimOptions options;
  options.lr = lr;
  options.warmup_steps = warmup_steps;
  options.schedule = core::from_name<Schedule>(schedule).value();
  options.min_lr_frac = min_lr_frac;
  return options;
}

TEST(LearningRate, constant_without_warmup_is_lr_at_every_step) {
  const OptimOptions options = make(0.25);
  EXPECT_DOUBLE_EQ(learning_rate(options, 0, 10), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(options, 1000, 10), 0.25);
}

TEST(LearningRate, warmup_of_four_steps_reaches_lr_at_step_three) {
  const OptimOptions options = make(2.0, 4);
  EXPECT_DOUBLE_EQ(learning_rate(options, 0, 10), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(options, 1, 10), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 2, 10), 1.5);
  EXPECT_DOUBLE_EQ(learning_rate(options, 3, 10), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 4, 10), 2.0);
}

TEST(LearningRate, linear_falls_to_min_lr_frac_and_stays_there) {
  const OptimOptions options = make(1.0, 0, "linear", 0.2);
  EXPECT_NEAR(learning_rate(options, 0, 4), 1.0, kTolerance);
  EXPECT_NEAR(learning_rate(options, 1, 4), 0.8, kTolerance);
  EXPECT_NEAR(learning_rate(options, 3, 4), 0.4, kTolerance);
  EXPECT_NEAR(learning_rate(options, 4, 4), 0.2, kTolerance);
  EXPECT_NEAR(learning_rate(options, 400, 4), 0.2, kTolerance);
}

TEST(LearningRate, warmup_multiplies_the_schedule) {
  const OptimOptions options = make(1.0, 2, "linear");
  EXPECT_NEAR(learning_rate(options, 0, 4), 0.5, kTolerance);   // 1/2 * 1
  EXPECT_NEAR(learning_rate(options, 1, 4), 0.75, kTolerance);  // 1 * 3/4
}

TEST(LearningRate, cosine_halves_in_the_middle_and_ends_at_min_lr_frac) {
  const OptimOptions options = make(2.0, 0, "cosine", 0.5);
  EXPECT_NEAR(learning_rate(options, 0, 6), 2.0, kTolerance);
  EXPECT_NEAR(learning_rate(options, 2, 6), 1.75, kTolerance);  // cos(pi/3) = 1/2
  EXPECT_NEAR(learning_rate(options, 3, 6), 1.5, kTolerance);
  EXPECT_NEAR(learning_rate(options, 6, 6), 1.0, kTolerance);
  EXPECT_NEAR(learning_rate(options, 60, 6), 1.0, kTolerance);
}

TEST(LearningRate, schedule_steps_overrides_the_total) {
  OptimOptions options = make(1.0, 0, "linear");
  options.schedule_steps = 10;
  EXPECT_NEAR(learning_rate(options, 5, 1000), 0.5, kTolerance);
}

TEST(LearningRate, negative_step_breaks_the_contract) {
  EXPECT_THROW(learning_rate(OptimOptions{}, -1, 1), core::ContractError);
}

}  // namespace
}  // namespace sgrpo::optim
