// Estimators besides grpo, dr_grpo, rloo and reinforce_plus_plus: numbers by hand.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

AlgorithmOptions with_estimator(const std::string& name,
                                const core::Json& params = core::Json::object()) {
  AlgorithmOptions options;
  options.estimator = name;
  options.std_eps = 0;
  options.params["estimator"] = params;
  return options;
}

RolloutGroup rewarded(const Doubles& rewards) { return make_group(make_prompt(), rewards); }

Doubles estimated(const RolloutGroup& group, const AlgorithmOptions& options) {
  return advantages_of(estimate({group}, options, {})[0]);
}

void expect_near(const Doubles& got, const Doubles& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6) << i;
}

std::string refused_estimator(const AlgorithmOptions& options) {
  return message_of([&] { make_estimator(options); });
}

// Lengths 1, 3, 2: baseline (1 + 0 + 2 * 0.5) / 6 = 1/3.
TEST(Opo, the_baseline_weighs_rewards_by_length) {
  RolloutGroup group;
  group.prompt = make_prompt();
  group.members = {make_member(1, 1), make_member(0, 3), make_member(0.5, 2)};
  expect_near(estimated(group, with_estimator("opo")), {2.0 / 3, -1.0 / 3, 1.0 / 6});
  EXPECT_EQ(estimated(rewarded({0.1, 0.1, 0.1}), with_estimator("opo")), Doubles(3, 0));
}

// Mean 0.5, squares 0.09 + 0.25 + 0.01 + 0.09 = 0.44, s = sqrt(0.44 / 3) = 0.3829708.
TEST(PassAtK, the_best_member_learns_its_lead) {
  AlgorithmOptions options = with_estimator("pass_at_k");
  const RolloutGroup group = rewarded({0.2, 1, 0.6, 0.2});
  expect_near(estimated(group, options), {0, 1.0444660, 0, 0});
  options.std = RewardScale::kNone;
  expect_near(estimated(group, options), {0, 0.4, 0, 0});
  EXPECT_EQ(estimated(rewarded({1, 1, 0}), options), Doubles(3, 0));
  options.std = RewardScale::kBatch;
  EXPECT_EQ(refused_estimator(options),
            "algorithm.std is batch, which estimator pass_at_k does not have: expected sample, "
            "population or none");
}

TEST(PassAtK, an_unjudged_member_is_no_rival) {
  RolloutGroup group = rewarded({1, 1, 0});
  group.members[0].verdict.status = VerdictStatus::kTimeout;
  AlgorithmOptions options = with_estimator("pass_at_k");
  options.std = RewardScale::kNone;
  EXPECT_EQ(estimated(group, options), (Doubles{0, 1, 0}));
}

// Six members, one with a reward: 6 (r - mean).
TEST(Gpg, centred_rewards_grow_with_the_share_of_members_without_one) {
  const auto groups =
      estimate({rewarded({1, 0, 0, 0}), rewarded({0, 0})}, with_estimator("gpg"), {});
  EXPECT_EQ(advantages_of(groups[0]), (Doubles{4.5, -1.5, -1.5, -1.5}));
  EXPECT_EQ(advantages_of(groups[1]), (Doubles{0, 0}));
}

TEST(Gpg, counts_the_members_of_all_ranks) {
  const AlgorithmOptions options = with_estimator("gpg");
  const auto estimator = make_estimator(options);
  const auto other = estimator->local({rewarded({0.5, 1, 0})});
  EXPECT_EQ(other, (Doubles{3, 2}));
  const auto groups =
      compute_advantages({rewarded({1, 0})}, options, {}, [&](std::vector<double> sums) {
        for (size_t i = 0; i < sums.size(); ++i) sums[i] += other[i];
        return sums;
      });
  expect_near(advantages_of(groups[0]), {5.0 / 6, -5.0 / 6});
}

TEST(Sign, asks_no_statistic_of_the_group) {
  const AlgorithmOptions options = with_estimator("sign");
  EXPECT_EQ(estimated(rewarded({1, 0, 0.5}), options), (Doubles{1, -1, 0}));
  EXPECT_EQ(estimated(rewarded({0, 0}), options), (Doubles{-1, -1}));
  EXPECT_EQ(estimated(rewarded({1}), options), (Doubles{1}));
}

TEST(AsymRe, the_baseline_lies_below_the_mean) {
  expect_near(estimated(rewarded({1, 0, 0, 0}), with_estimator("asymre")),
              {0.85, -0.15, -0.15, -0.15});
  EXPECT_EQ(estimated(rewarded({0, 0}), with_estimator("asymre", {{"b", 0.25}})),
            (Doubles{0.25, 0.25}));
  EXPECT_EQ(refused_estimator(with_estimator("asymre", {{"b", 2000}})),
            "algorithm.params.estimator.b is 2000, expected a number in [-1000, 1000]");
}

// Rewards 1 0 1 1: mean 0.75, squares 0.75, s = 0.5.
TEST(BatchScale, centred_rewards_are_divided_by_the_deviation_of_all_rewards) {
  AlgorithmOptions options = with_estimator("grpo");
  options.std = RewardScale::kBatch;
  auto groups = estimate({rewarded({1, 0}), rewarded({1, 1})}, options, {});
  EXPECT_EQ(advantages_of(groups[0]), (Doubles{1, -1}));
  EXPECT_EQ(advantages_of(groups[1]), (Doubles{0, 0}));
  options.std_eps = 0.5;
  groups = estimate({rewarded({1, 0}), rewarded({1, 1})}, options, {});
  EXPECT_EQ(advantages_of(groups[0]), (Doubles{0.5, -0.5}));
  EXPECT_EQ(estimated(rewarded({1, 1}), options), (Doubles{0, 0}));
}

RolloutGroup half_parsed() {
  RolloutGroup group = rewarded({1, 0, 0.5, 0});
  for (const size_t i : {size_t{2}, size_t{3}})
    group.members[i].verdict.status = VerdictStatus::kUnparsed;
  return group;
}

TEST(Stratified, every_stratum_has_mean_0_and_deviation_1) {
  const double half = 0.7071068;
  expect_near(estimated(half_parsed(), with_estimator("stratified")), {half, -half, half, -half});
  RolloutGroup lonely = half_parsed();
  lonely.members[3].verdict.status = VerdictStatus::kIncorrect;
  EXPECT_EQ(estimated(lonely, with_estimator("stratified"))[2], 0.0);
}

// The whole group: mean 0.375, squares 0.6875, s = 0.4787136, A 1.3055824 -0.7833495 0.2611165.
TEST(Stratified, alpha_blends_strata_with_the_whole_group) {
  expect_near(estimated(half_parsed(), with_estimator("stratified", {{"alpha", 0}})),
              {1.3055824, -0.7833495, 0.2611165, -0.7833495});
  expect_near(estimated(half_parsed(), with_estimator("stratified", {{"alpha", 0.5}})),
              {1.0063446, -0.7452281, 0.4841116, -0.7452281});
  EXPECT_EQ(refused_estimator(with_estimator("stratified", {{"alpha", 1.5}})),
            "algorithm.params.estimator.alpha is 1.5, expected a number in [0, 1]");
}

TEST(Stratified, a_verifier_of_the_breakdown_makes_strata) {
  RolloutGroup group = rewarded({1, 0, 1, 0});
  for (size_t i = 0; i < 4; ++i) group.members[i].verdict.breakdown["calls"] = i < 2 ? 0.0 : 0.5;
  group.members[3].verdict.reward = 0.5;
  const double half = 0.7071068;
  expect_near(estimated(group, with_estimator("stratified", {{"by", "calls"}})),
              {half, -half, half, -half});
  const std::string message = message_of([&] {
    estimated(group, with_estimator("stratified", {{"by", "cals"}}));
  });
  EXPECT_EQ(message,
            "algorithm.params.estimator.by is cals, which no verdict on prompt 0 names (did you "
            "mean 'calls'?); expected one of: status, calls");
}

/// Two rewards of four members, on scales that differ a hundredfold.
RolloutGroup two_rewards() {
  RolloutGroup group = rewarded({0, 1, 100, 101});
  const Doubles first = {0, 1, 0, 1}, second = {0, 0, 100, 100};
  for (size_t i = 0; i < 4; ++i)
    group.members[i].verdict.breakdown = {{"first", first[i]}, {"second", second[i]}};
  return group;
}

TEST(Gdpo, each_reward_is_normalised_before_the_sum) {
  expect_near(estimated(two_rewards(), with_estimator("gdpo")), {-1.7320508, 0, 0, 1.7320508});
  // Multi-objective GRPO: the sum alone, in which the larger scale decides.
  expect_near(estimated(two_rewards(), with_estimator("grpo")),
              {-0.8746419, -0.8573223, 0.8573223, 0.8746419});
}

TEST(Gdpo, weights_are_those_of_the_configuration) {
  RolloutGroup group = two_rewards();
  for (GroupMember& member : group.members)
    member.verdict.weights = {{"first", 2.0}, {"second", 1.0}};
  expect_near(estimated(group, with_estimator("gdpo")),
              {-2.5980762, 0.8660254, -0.8660254, 2.5980762});
}

// The sums -sqrt 3, 0, 0, sqrt 3 have deviation sqrt 2.
TEST(Gdpo, whiten_scales_the_sums_of_the_whole_batch) {
  const AlgorithmOptions options = with_estimator("gdpo", {{"whiten", true}});
  expect_near(estimated(two_rewards(), options), {-1.2247449, 0, 0, 1.2247449});
  const auto groups = estimate({two_rewards(), two_rewards()}, options, {});
  EXPECT_NEAR(groups[1].members[3].advantage(), std::sqrt(3.0) / std::sqrt(12.0 / 7), 1e-12);
}

TEST(Gdpo, a_member_without_a_reward_has_no_part_in_it) {
  RolloutGroup group = two_rewards();
  group.members[3].verdict.breakdown.erase("second");
  // first: -s, s, -s, s with s = 0.8660254; second: 0, 0, 100 alone: mean 33.3, s = 57.73503.
  expect_near(estimated(group, with_estimator("gdpo")),
              {-0.8660254 - 0.5773503, 0.8660254 - 0.5773503, -0.8660254 + 1.1547005, 0.8660254});
}

TEST(Gdpo, sums_without_parts_and_shaped_sums_are_refused) {
  const std::string message = message_of([] {
    estimated(rewarded({1, 0}), with_estimator("gdpo"));
  });
  EXPECT_EQ(
      message,
      "algorithm.estimator is gdpo, which normalises each reward, but the rewards of prompt 0 "
      "are sums without parts (recorded ones?); expected `rewards` of verifiers, or another "
      "algorithm.estimator");
  AlgorithmOptions options = with_estimator("gdpo");
  EXPECT_NO_THROW(check_rewards(options, {}));
  options.shaping = core::Json::array({method("overlong")});
  EXPECT_EQ(message_of([&] { check_rewards(options, {}); }),
            "algorithm.shaping is set, which changes the sum of a member's rewards, but estimator "
            "gdpo reads their parts: leave it out, or take another algorithm.estimator");
  options.estimator = "grpo";
  EXPECT_NO_THROW(check_rewards(options, {}));
}

TEST(Estimators, who_reads_more_than_a_reward_says_so) {
  for (const char* name : {"grpo", "opo", "sign", "stratified", "reinforce_plus_plus"})
    EXPECT_TRUE(reads_rewards_alone(with_estimator(name))) << name;
  for (const char* name : {"gdpo", "pvpo", "remax"})
    EXPECT_FALSE(reads_rewards_alone(with_estimator(name))) << name;
  EXPECT_FALSE(reads_rewards_alone(with_estimator("stratified", {{"by", "calls"}})));
}

TEST(ReMax, rewards_are_compared_with_the_greedy_completion) {
  const AlgorithmOptions options = with_estimator("remax");
  RolloutGroup group = rewarded({1, 0, 1});
  group.baseline = make_member(0.25);
  EXPECT_EQ(estimated(group, options), (Doubles{0.75, -0.25, 0.75}));
  group.baseline->verdict.status = VerdictStatus::kTimeout;
  EXPECT_EQ(estimated(group, options), Doubles(3, 0));
  SamplingOptions sampling;
  sampling.temperature = 0.5;
  const auto request = make_estimator(options)->baseline_request(sampling);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->greedy);
  EXPECT_EQ(request->temperature, 0.5);
  EXPECT_FALSE(make_estimator(with_estimator("grpo"))->baseline_request({}));
}

TEST(Pvpo, rewards_are_compared_with_the_rows_baseline) {
  const AlgorithmOptions options = with_estimator("pvpo");
  auto prompt = make_prompt();
  auto record = std::make_shared<PromptRecord>(*prompt->record);
  record->columns = {{"baseline", 0.25}};
  auto encoded = std::make_shared<EncodedPrompt>(*prompt);
  encoded->record = record;
  EXPECT_EQ(estimated(make_group(encoded, {1, 0, 1}), options), (Doubles{0.75, -0.25, 0.75}));
  EXPECT_EQ(estimated(make_group(encoded, {1, 1}), options), (Doubles{0.75, 0.75}));
  EXPECT_EQ(make_estimator(options)->columns(), std::vector<std::string>{"baseline"});
  EXPECT_NE(message_of([&] {
              estimated(rewarded({1, 0}), options);
            }).find("pvpo: the row of prompt 0 has no baseline"),
            std::string::npos);
}

}  // namespace
}  // namespace sgrpo::algorithm
