#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "reference/grpo.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

at::Tensor random_rewards(int64_t groups, int64_t size) {
  at::Tensor rewards = at::empty({groups, size}, at::kDouble);
  for (int64_t i = 0; i < rewards.numel(); ++i) {
    rewards.mutable_data_ptr<double>()[i] =
        core::RandomKey{.seed = 11, .sample_index = static_cast<uint64_t>(i)}.normal();
  }
  return rewards;
}

TEST(GroupAdvantage, matches_the_loop_twin) {
  const at::Tensor rewards = random_rewards(7, 5);
  const at::Tensor valid = at::ones({7, 5}, at::kBool);
  for (const std::string std : {"sample", "population", "none"}) {
    const Deviation deviation = core::from_name<Deviation>(std).value();
    const at::Tensor got = group_advantage(rewards, valid, deviation, 1e-4);
    for (int64_t p = 0; p < 7; ++p) {
      const double* row = rewards.const_data_ptr<double>() + p * 5;
      const auto expected = reference::group_advantages({row, row + 5}, std, 1e-4);
      for (int64_t i = 0; i < 5; ++i) {
        EXPECT_NEAR(got[p][i].item<double>(), expected[static_cast<size_t>(i)], 1e-14) << std;
      }
    }
  }
}

TEST(GroupAdvantage, a_large_common_offset_costs_no_digits) {
  const at::Tensor rewards = at::tensor({0.0, 1.0, 2.0, 3.0}, at::kDouble).reshape({1, 4});
  const at::Tensor valid = at::ones({1, 4}, at::kBool);
  const at::Tensor plain = group_advantage(rewards, valid, Deviation::kSample, 1e-4);
  EXPECT_TRUE(group_advantage(rewards + 1e6, valid, Deviation::kSample, 1e-4).equal(plain));
  EXPECT_TRUE(group_advantage(rewards + 1e11, valid, Deviation::kSample, 1e-4).equal(plain));
}

TEST(GroupAdvantage, invalid_members_get_zero_whatever_they_hold) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor rewards = at::tensor({nan, 1.0, 0.0, 5.0}, at::kDouble).reshape({1, 4});
  const at::Tensor valid = at::tensor({0, 1, 1, 0}, at::kInt).to(at::kBool).reshape({1, 4});
  const at::Tensor got = group_advantage(rewards, valid, Deviation::kNone, 0.0);
  EXPECT_TRUE(got.equal(at::tensor({0.0, 0.5, -0.5, 0.0}, at::kDouble).reshape({1, 4}))) << got;
  const at::Tensor nobody =
      group_advantage(rewards, at::zeros_like(valid), Deviation::kSample, 0.0);
  EXPECT_TRUE(nobody.equal(at::zeros_like(rewards))) << nobody;
}

TEST(GroupAdvantage, rewards_within_min_spread_count_as_equal) {
  const at::Tensor rewards = at::tensor({0.0, 0.25, 0.5, 0.5}, at::kDouble).reshape({2, 2});
  const at::Tensor valid = at::ones({2, 2}, at::kBool);
  const auto flat = [&](double min_spread) {
    const at::Tensor got = group_advantage(rewards, valid, Deviation::kNone, 0.0, min_spread);
    EXPECT_TRUE(got[1].equal(at::zeros({2}, at::kDouble)));
    return got[0].equal(at::zeros({2}, at::kDouble));
  };
  EXPECT_FALSE(flat(0.0));
  EXPECT_FALSE(flat(0.249));
  EXPECT_TRUE(flat(0.25));  // more than min_spread is asked for
}

// 0.1 + 0.2 is an ulp above 0.3: two ways to add up one reward are no signal.
TEST(GroupAdvantage, rounding_is_no_spread) {
  const at::Tensor rewards = at::tensor({0.1 + 0.2, 0.3}, at::kDouble).reshape({1, 2});
  ASSERT_NE(0.1 + 0.2, 0.3);
  const at::Tensor got =
      group_advantage(rewards, at::ones({1, 2}, at::kBool), Deviation::kSample, 0.0);
  EXPECT_TRUE(got.equal(at::zeros({1, 2}, at::kDouble))) << got;
  EXPECT_FALSE(has_spread(0.3, 0.1 + 0.2, 0.0));
  EXPECT_TRUE(has_spread(0.3, 0.3 + 2e-12, 0.0));
  EXPECT_FALSE(has_spread(1000.0, 1000.0 + 5e-10, 0.0));  // relative to the highest
  EXPECT_TRUE(has_spread(-1000.0, -999.0, 0.999));
  EXPECT_FALSE(has_spread(-1000.0, -999.0, 1.0));
}

TEST(GroupAdvantage, empty_input_gives_empty_output) {
  const at::Tensor none = at::empty({0, 8}, at::kDouble);
  EXPECT_EQ(group_advantage(none, none.to(at::kBool), Deviation::kSample, 0).sizes(),
            (at::IntArrayRef{0, 8}));
}

TEST(GroupAdvantage, meta_gives_the_shape_without_data) {
  const auto meta = at::TensorOptions().device(at::kMeta);
  const at::Tensor got = group_advantage(at::empty({4, 8}, meta.dtype(at::kDouble)),
                                         at::empty({4, 8}, meta.dtype(at::kBool)),
                                         Deviation::kSample,
                                         0);
  EXPECT_EQ(got.sizes(), (at::IntArrayRef{4, 8}));
  EXPECT_TRUE(got.is_meta());
}

std::string refusal(const at::Tensor& rewards, const at::Tensor& valid) {
  try {
    group_advantage(rewards, valid, Deviation::kSample, 0);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST(GroupAdvantage, broken_arguments_are_named) {
  const at::Tensor rewards = random_rewards(2, 3), valid = at::ones({2, 3}, at::kBool);
  EXPECT_EQ(refusal(rewards, valid.slice(1, 0, 2)),
            "group_advantage: valid has shape [2, 2], expected that of rewards, [2, 3]");
  EXPECT_EQ(refusal(rewards.to(at::kFloat), valid),
            "group_advantage: rewards is Float, expected Double");
  EXPECT_EQ(refusal(rewards.t(), valid.t()),
            "group_advantage: rewards and valid must be contiguous");
}

}  // namespace
}  // namespace sgrpo::ops
