// The estimator reinforce_plus_plus, and sums over ranks.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

AlgorithmOptions whitened(bool baseline = false) {
  AlgorithmOptions options;
  options.estimator = "reinforce_plus_plus";
  options.std_eps = 0;
  if (baseline) options.params = {{"estimator", {{"baseline", true}}}};
  return options;
}

RolloutGroup group_of(const std::vector<std::pair<double, int64_t>>& rewards_and_lengths) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (const auto& [reward, length] : rewards_and_lengths)
    group.members.push_back(make_member(reward, length));
  return group;
}

Doubles tokens_of(const std::vector<RolloutGroup>& groups) {
  Doubles tokens;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      if (!member.verdict.is_valid()) continue;
      tokens.insert(tokens.end(), member.advantages.begin(), member.advantages.end());
    }
  }
  return tokens;
}

// Tokens: 1 1 1 0 0 0 0.5 0.5: mean 0.5, squares 6 * 0.25 = 1.5, deviation sqrt(1.5 / 7).
TEST(Whitening, tokens_of_all_groups_have_mean_0_and_sample_deviation_1) {
  const auto groups =
      estimate({group_of({{1, 3}, {0, 1}}), group_of({{0, 2}, {0.5, 2}})}, whitened(), {});
  const double one = 0.5 / std::sqrt(1.5 / 7);
  for (const double advantage : groups[0].members[0].advantages) EXPECT_NEAR(advantage, one, 1e-14);
  EXPECT_NEAR(groups[1].members[0].advantages[1], -one, 1e-14);
  EXPECT_NEAR(groups[1].members[1].advantages[0], 0.0, 1e-15);
  double sum = 0.0, squares = 0.0;
  for (const double advantage : tokens_of(groups)) {
    sum += advantage;
    squares += advantage * advantage;
  }
  EXPECT_NEAR(sum, 0.0, 1e-14);
  EXPECT_NEAR(squares / 7, 1.0, 1e-14);
}

TEST(Whitening, std_eps_is_added_to_the_deviation) {
  AlgorithmOptions options = whitened();
  options.std_eps = 0.5;
  const auto groups = estimate({group_of({{1, 1}, {0, 1}})}, options, {});
  EXPECT_NEAR(groups[0].members[0].advantages[0], 0.5 / (std::sqrt(0.5) + 0.5), 1e-15);
}

// kl_coef 0.5. Member 0: k1 = 0.5, 1, so returns 1 - 0.75 and 1 - 0.5; member 1: k1 = -1, 0, so
// returns 0 + 0.5 and 0.
TEST(Whitening, a_token_pays_the_kl_from_itself_on) {
  AlgorithmOptions options = whitened();
  options.kl_coef = 0.5;
  options.kl_place = KlPlace::kReward;
  RolloutGroup group = group_of({{1, 2}, {0, 2}, {0, 2}});
  group.members[0].scores = {.old_logprobs = {-1, -2}, .ref_logprobs = {-1.5f, -3}};
  group.members[1].scores = {.old_logprobs = {-2, -1}, .ref_logprobs = {-1, -1}};
  group.members[2].completion.origin = Origin::kGroundTruth;  // pays nothing, needs no scores
  const Doubles returns = {0.25, 0.5, 0.5, 0, 0, 0};
  double mean = 0.0, squares = 0.0;
  for (const double value : returns) mean += value / 6;
  for (const double value : returns) squares += (value - mean) * (value - mean);
  const Doubles got = tokens_of(estimate({group}, options, {}));
  ASSERT_EQ(got.size(), returns.size());
  for (size_t t = 0; t < returns.size(); ++t)
    EXPECT_NEAR(got[t], (returns[t] - mean) / std::sqrt(squares / 5), 1e-14) << t;
  const auto estimator = make_estimator(options);
  EXPECT_TRUE(estimator->takes_token_kl());
  EXPECT_TRUE(estimator->needs().old_logprobs && estimator->needs().ref_logprobs);
  group.members[1].scores.ref_logprobs.clear();
  EXPECT_NE(message_of([&] { estimate({group}, options, {}); }).find("a member is not scored"),
            std::string::npos);
  options.kl_place = KlPlace::kLoss;
  EXPECT_FALSE(make_estimator(options)->needs().ref_logprobs);
  EXPECT_NO_THROW(estimate({group}, options, {}));
}

// Group means 0.5 and 0.25: centred rewards 0.5 -0.5 and 0.25 -0.25, mean 0, a token each.
TEST(Whitening, baseline_subtracts_the_groups_mean_first) {
  const auto groups =
      estimate({group_of({{1, 1}, {0, 1}}), group_of({{0.5, 1}, {0, 1}})}, whitened(true), {});
  const double deviation = std::sqrt(0.625 / 3);
  EXPECT_NEAR(groups[0].members[0].advantages[0], 0.5 / deviation, 1e-14);
  EXPECT_NEAR(groups[1].members[1].advantages[0], -0.25 / deviation, 1e-14);
  EXPECT_FALSE(make_estimator(whitened(true))->allows_single());
  EXPECT_TRUE(make_estimator(whitened())->allows_single());
}

TEST(Whitening, invalid_members_and_flat_returns_get_zeros) {
  RolloutGroup group = group_of({{1, 1}, {0, 1}, {0.25, 2}});
  group.members[2].verdict.status = VerdictStatus::kError;
  const auto groups = estimate({group}, whitened(), {});
  EXPECT_EQ(groups[0].members[2].advantages, (Doubles{0, 0}));
  EXPECT_NEAR(groups[0].members[0].advantages[0], 0.5 / std::sqrt(0.5), 1e-15);
  EXPECT_EQ(tokens_of(estimate({group_of({{0.1, 3}, {0.1, 2}})}, whitened(), {})), Doubles(5, 0));
  AlgorithmOptions coarse = whitened();
  coarse.min_spread = 1.0;
  EXPECT_EQ(tokens_of(estimate({group_of({{1, 1}, {0, 1}})}, coarse, {})), Doubles(2, 0));
}

TEST(Whitening, two_ranks_give_what_one_gives) {
  const std::vector<RolloutGroup> first = {group_of({{1, 3}, {0, 1}})},
                                  second = {group_of({{0.5, 2}, {0, 4}}), group_of({{1, 1}})};
  std::vector<RolloutGroup> all = first;
  all.insert(all.end(), second.begin(), second.end());
  const Doubles expected = tokens_of(estimate(all, whitened(), {}));
  const auto estimator = make_estimator(whitened());
  const auto with_other = [&](const std::vector<RolloutGroup>& other) {
    return [&](std::vector<double> sums) {
      const auto more = estimator->local(other);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += more[i];
      return sums;
    };
  };
  Doubles got = tokens_of(compute_advantages(first, whitened(), {}, with_other(second)));
  const Doubles rest = tokens_of(compute_advantages(second, whitened(), {}, with_other(first)));
  got.insert(got.end(), rest.begin(), rest.end());
  ASSERT_EQ(got.size(), expected.size());
  for (size_t t = 0; t < got.size(); ++t) EXPECT_NEAR(got[t], expected[t], 1e-15) << t;
}

TEST(Spread, one_rule_says_whether_rewards_differ) {
  EXPECT_FALSE(has_spread({}, 0.0));
  EXPECT_FALSE(has_spread({0.1 + 0.2, 0.3}, 0.0));
  EXPECT_TRUE(has_spread({0.3, 0.31, 0.3}, 0.0));
  EXPECT_FALSE(has_spread({0.3, 0.31, 0.3}, 0.02));
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    AlgorithmOptions options;
    options.estimator = name;
    const auto advantages = [&](const Doubles& rewards) {
      return advantages_of(estimate({make_group(make_prompt(), rewards)}, options, {})[0]);
    };
    EXPECT_EQ(advantages({0.1 + 0.2, 0.3}), Doubles(2, 0)) << name;
    EXPECT_NE(advantages({0.31, 0.3}), Doubles(2, 0)) << name;
    options.min_spread = 0.02;
    EXPECT_EQ(advantages({0.31, 0.3}), Doubles(2, 0)) << name;
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
