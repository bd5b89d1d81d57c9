#include "kernels/common/vec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sgrpo::kernels {
namespace {

float exp_lane(float x) {
  float lanes[kLanes];
  store(lanes, exp(splat(x)));
  return lanes[7];
}

/// |got - exact| in units of the last place of the exact value as a float.
double ulps(float got, double exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);  // exact = m * 2^exponent, m in [0.5, 1)
  return std::abs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 24);
}

TEST(VecExp, stays_below_two_ulps_over_its_range) {
  double worst = 0.0, where = 0.0;
  constexpr int kSteps = 1'000'000;
  for (int i = 0; i <= kSteps; i += static_cast<int>(kLanes)) {
    float x[kLanes], y[kLanes];
    for (int lane = 0; lane < kLanes; ++lane)
      x[lane] = static_cast<float>(-87.0 + 167.0 * (i + lane) / (kSteps + kLanes));
    store(y, exp(load(x)));
    for (int lane = 0; lane < kLanes; ++lane) {
      const double error = ulps(y[lane], std::exp(static_cast<double>(x[lane])));
      if (error > worst) worst = error, where = static_cast<double>(x[lane]);
    }
  }
  EXPECT_LT(worst, 2.0) << "at x = " << where;
}

TEST(VecExp, is_exact_at_zero_and_zero_far_below) {
  EXPECT_EQ(exp_lane(0.0f), 1.0f);
  EXPECT_EQ(exp_lane(-0.0f), 1.0f);
  EXPECT_EQ(exp_lane(-88.0f), 0.0f);
  EXPECT_EQ(exp_lane(-1e30f), 0.0f);
  EXPECT_EQ(exp_lane(-std::numeric_limits<float>::infinity()), 0.0f);
}

TEST(VecExp, passes_nan_on) {
  EXPECT_TRUE(std::isnan(exp_lane(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Vec, sum_and_largest_see_every_lane) {
  for (int lane = 0; lane < kLanes; ++lane) {
    float lanes[kLanes] = {};
    lanes[lane] = 3.0f;
    EXPECT_EQ(sum(load(lanes)), 3.0f);
    EXPECT_EQ(max_lane(load(lanes)), 3.0f);
    lanes[lane] = -3.0f;
    EXPECT_EQ(max_lane(load(lanes)), 0.0f);
  }
}

}  // namespace
}  // namespace sgrpo::kernels
