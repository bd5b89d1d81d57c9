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

/// Advantages [P,G] of groups without injection.
at::Tensor advantages_of(const at::Tensor& rewards,
                         const at::Tensor& valid,
                         Deviation std,
                         double eps,
                         double min_spread = 0.0) {
  const at::Tensor status = 2 - valid.to(at::kByte);  // failed or not judged
  const GroupAdvantages result = group_advantage(rewards, status, {std, eps, min_spread});
  return result.advantages.slice(1, 0, rewards.size(1));
}

TEST(GroupAdvantage, matches_the_loop_twin) {
  const at::Tensor rewards = random_rewards(7, 5);
  const at::Tensor valid = at::ones({7, 5}, at::kBool);
  for (const std::string std : {"sample", "population", "none"}) {
    const Deviation deviation = core::from_name<Deviation>(std).value();
    const at::Tensor got = advantages_of(rewards, valid, deviation, 1e-4);
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
  const at::Tensor plain = advantages_of(rewards, valid, Deviation::kSample, 1e-4);
  EXPECT_TRUE(advantages_of(rewards + 1e6, valid, Deviation::kSample, 1e-4).equal(plain));
  EXPECT_TRUE(advantages_of(rewards + 1e11, valid, Deviation::kSample, 1e-4).equal(plain));
}

TEST(GroupAdvantage, invalid_members_get_zero_whatever_they_hold) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor rewards = at::tensor({nan, 1.0, 0.0, 5.0}, at::kDouble).reshape({1, 4});
  const at::Tensor valid = at::tensor({0, 1, 1, 0}, at::kInt).to(at::kBool).reshape({1, 4});
  const at::Tensor got = advantages_of(rewards, valid, Deviation::kNone, 0.0);
  EXPECT_TRUE(got.equal(at::tensor({0.0, 0.5, -0.5, 0.0}, at::kDouble).reshape({1, 4}))) << got;
  const at::Tensor nobody = advantages_of(rewards, at::zeros_like(valid), Deviation::kSample, 0.0);
  EXPECT_TRUE(nobody.equal(at::zeros_like(rewards))) << nobody;
}

TEST(GroupAdvantage, rewards_within_min_spread_count_as_equal) {
  const at::Tensor rewards = at::tensor({0.0, 0.25, 0.5, 0.5}, at::kDouble).reshape({2, 2});
  const at::Tensor valid = at::ones({2, 2}, at::kBool);
  const auto flat = [&](double min_spread) {
    const at::Tensor got = advantages_of(rewards, valid, Deviation::kNone, 0.0, min_spread);
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
      advantages_of(rewards, at::ones({1, 2}, at::kBool), Deviation::kSample, 0.0);
  EXPECT_TRUE(got.equal(at::zeros({1, 2}, at::kDouble))) << got;
  EXPECT_FALSE(has_spread(0.3, 0.1 + 0.2, 0.0));
  EXPECT_TRUE(has_spread(0.3, 0.3 + 2e-12, 0.0));
  EXPECT_FALSE(has_spread(1000.0, 1000.0 + 5e-10, 0.0));  // relative to the highest
  EXPECT_TRUE(has_spread(-1000.0, -999.0, 0.999));
  EXPECT_FALSE(has_spread(-1000.0, -999.0, 1.0));
}

TEST(GroupAdvantage, empty_input_gives_empty_output) {
  const at::Tensor none = at::empty({0, 8}, at::kDouble);
  EXPECT_EQ(advantages_of(none, none.to(at::kBool), Deviation::kSample, 0).sizes(),
            (at::IntArrayRef{0, 8}));
}

TEST(GroupAdvantage, meta_gives_the_shape_without_data) {
  const auto meta = at::TensorOptions().device(at::kMeta);
  const at::Tensor got = advantages_of(at::empty({4, 8}, meta.dtype(at::kDouble)),
                                       at::empty({4, 8}, meta.dtype(at::kBool)),
                                       Deviation::kSample,
                                       0);
  EXPECT_EQ(got.sizes(), (at::IntArrayRef{4, 8}));
  EXPECT_TRUE(got.is_meta());
}

std::string refusal(const at::Tensor& rewards, const at::Tensor& valid) {
  try {
    advantages_of(rewards, valid, Deviation::kSample, 0);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST(GroupAdvantage, broken_arguments_are_named) {
  const at::Tensor rewards = random_rewards(2, 3), valid = at::ones({2, 3}, at::kBool);
  EXPECT_EQ(refusal(rewards, valid.slice(1, 0, 2)),
            "group_advantage: status has shape [2, 2], expected [2, 3] as rewards are [2, 3]");
  EXPECT_EQ(refusal(rewards.to(at::kFloat), valid),
            "group_advantage: rewards is Float, expected Double");
  EXPECT_EQ(refusal(rewards.t(), valid.t()), "group_advantage: rewards must be contiguous");
}

TEST(GroupAdvantage, an_injection_without_its_tensors_is_refused) {
  const at::Tensor rewards = random_rewards(2, 3), status = at::ones({2, 3}, at::kByte);
  const GroupInjection injection{.victim_score = at::zeros({2, 3}, at::kDouble),
                                 .may_inject = at::ones({3}, at::kBool),
                                 .gt_reward = at::ones({2}, at::kDouble)};
  try {
    group_advantage(rewards, status, {}, injection);
    FAIL();
  } catch (const c10::Error& error) {
    EXPECT_STREQ(error.what_without_backtrace(),
                 "group_advantage: may_inject has shape [3], expected [2] as rewards are [2, 3]");
  }
}

/// Groups of random size up to `widest`, of random verdicts, as tensors and as the twin's.
struct RandomGroups {
  std::vector<reference::JudgedGroup> groups;
  at::Tensor rewards, status;
  GroupInjection injection;
};

RandomGroups random_groups(int64_t count, int64_t widest) {
  RandomGroups random{{},
                      at::zeros({count, widest}, at::kDouble),
                      at::full({count, widest}, 3, at::kByte),
                      {.victim_score = at::zeros({count, widest}, at::kDouble),
                       .may_inject = at::zeros({count}, at::kBool),
                       .gt_reward = at::zeros({count}, at::kDouble)}};
  uint64_t draws = 0;
  const auto draw = [&](uint64_t below) {
    return static_cast<int64_t>(core::RandomKey{.seed = 3, .sample_index = draws++}.below(below));
  };
  for (int64_t p = 0; p < count; ++p) {
    reference::JudgedGroup group;
    group.may_inject = draw(4) > 0;
    group.gt_reward = 1.0 - 0.25 * static_cast<double>(draw(3));
    random.injection.may_inject[p].fill_(group.may_inject);
    random.injection.gt_reward[p].fill_(group.gt_reward);
    const bool fails = draw(2) == 0;
    const int64_t size = 1 + draw(static_cast<uint64_t>(widest));
    for (int64_t i = 0; i < size; ++i) {
      group.status.push_back(static_cast<int>(fails ? 1 + draw(2) : draw(3)));
      group.rewards.push_back(0.25 * static_cast<double>(draw(5)));
      group.scores.push_back(static_cast<double>(draw(3)));
      random.rewards[p][i].fill_(group.rewards.back());
      random.status[p][i].fill_(group.status.back());
      random.injection.victim_score[p][i].fill_(group.scores.back());
    }
    random.groups.push_back(group);
  }
  return random;
}

TEST(GroupAdvantage, injection_matches_the_loop_twin) {
  RandomGroups random = random_groups(60, 5);
  for (int variant = 0; variant < 16; ++variant) {
    const bool all_fail = variant & 1, appends = variant & 2, smooths = variant & 4;
    random.injection.only_all_fail = all_fail;
    random.injection.appends = appends;
    random.injection.smoothing = smooths;
    random.injection.fail_weight = variant & 8 ? 0.5 : 1.0;
    const GroupAdvantages got = group_advantage(
        random.rewards, random.status, {Deviation::kSample, 1e-4}, random.injection);
    for (int64_t p = 0; p < 60; ++p) {
      const auto expected = reference::injected_advantages(random.groups[static_cast<size_t>(p)],
                                                           {.only_all_fail = all_fail,
                                                            .appends = appends,
                                                            .smoothing = smooths,
                                                            .fail_weight = variant & 8 ? 0.5 : 1.0},
                                                           "sample",
                                                           1e-4);
      EXPECT_EQ(got.victim[p].item<int32_t>(), expected.place) << p << " variant " << variant;
      EXPECT_EQ(got.kind[p].item<uint8_t>(), expected.kind) << p;
      for (size_t i = 0; i < expected.advantages.size(); ++i)
        EXPECT_NEAR(got.advantages[p][static_cast<int64_t>(i)].item<double>(),
                    expected.advantages[i],
                    1e-13)
            << p << " member " << i << " variant " << variant;
    }
  }
}

}  // namespace
}  // namespace sgrpo::ops
