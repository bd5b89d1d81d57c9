// Reward shapers besides overlong: numbers by hand.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/shaping.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

AlgorithmOptions with_shaper(const core::Json& shaper) {
  AlgorithmOptions options;
  options.shaping = core::Json::array({shaper});
  return options;
}

Doubles shaped_rewards(const RolloutGroup& group, const core::Json& shaper) {
  const auto shapers = make_shapers(with_shaper(shaper), {.max_new_tokens = 8});
  return rewards_of(shape_rewards({group}, shapers, {})[0]);
}

std::string refused_shaper(const core::Json& shaper) {
  return message_of([&] { make_shapers(with_shaper(shaper), {.max_new_tokens = 8}); });
}

void expect_close(const Doubles& got, const Doubles& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << i;
}

/// Members with a reward of 1 and these sums of log-probs over two tokens.
RolloutGroup likely(const Doubles& sums) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (const double sum : sums) group.members.push_back(make_member(1, 2, sum));
  return group;
}

// b 0.25, G 4: ranks 1 to 4 keep .8125 .875 .9375 1.
TEST(Unlikely, likely_members_earn_less) {
  expect_close(shaped_rewards(likely({-1, -4, -2, -3}), method("unlikely")),
               {0.8125, 1, 0.875, 0.9375});
  RolloutGroup group = likely({-1, -4, -2, -3});
  group.members[3].verdict.reward = 0;
  expect_close(shaped_rewards(group, method("unlikely", {{"b", 1}})), {0.25, 1, 0.5, 0});
  EXPECT_EQ(refused_shaper(method("unlikely", {{"b", 1.5}})),
            "algorithm.shaping[0].params.b is 1.5, expected a number in [0, 1]");
}

TEST(Unlikely, ties_go_by_index_and_others_do_not_count) {
  expect_close(shaped_rewards(likely({-2, -2}), method("unlikely", {{"b", 0.5}})), {0.75, 1});
  RolloutGroup group = likely({-1, -2, -3, -9});
  group.members[2].verdict.status = VerdictStatus::kError;
  group.members[3].completion.origin = Origin::kGroundTruth;
  group.members[3].completion.sampler_logprobs.clear();
  expect_close(shaped_rewards(group, method("unlikely", {{"b", 0.5}})), {0.75, 1, 1, 1});
}

RolloutGroup judged_parts(const std::vector<std::map<std::string, double>>& parts) {
  RolloutGroup group = make_group(make_prompt(), Doubles(parts.size(), 0.5));
  for (size_t i = 0; i < parts.size(); ++i) group.members[i].verdict.breakdown = parts[i];
  return group;
}

TEST(Posterior, thinking_is_worth_nothing_without_the_outcome) {
  const RolloutGroup group = judged_parts({{{"form", 1}, {"right", 1}, {"think", 0.5}},
                                           {{"form", 1}, {"right", 0}, {"think", 0.5}},
                                           {{"form", 0}, {"right", 0.5}, {"think", 1}}});
  const core::Json params = {{"outcome", "right"}, {"think", "think"}, {"format", "form"}};
  expect_close(shaped_rewards(group, method("posterior", params)), {2.5, 1, 1});
  expect_close(
      shaped_rewards(group, method("posterior", {{"outcome", "right"}, {"think", "think"}})),
      {1.5, 0, 1});
}

TEST(Posterior, names_are_required_and_known) {
  EXPECT_EQ(refused_shaper(method("posterior", {{"outcome", "right"}})),
            "algorithm.shaping[0].params.think is missing, expected text");
  const RolloutGroup group = judged_parts({{{"right", 1}, {"think", 1}}});
  EXPECT_EQ(message_of([&] {
              shaped_rewards(group, method("posterior", {{"outcome", "rigt"}, {"think", "think"}}));
            }),
            "algorithm.shaping posterior: no verifier 'rigt' judged prompt 0 (did you mean "
            "'right'?); expected one of `rewards`: right, think");
}

/// One correct and one wrong member of each length.
RolloutGroup of_lengths(const std::vector<int64_t>& lengths) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (const double reward : {1.0, 0.0})
    for (const int64_t length : lengths) group.members.push_back(make_member(reward, length));
  return group;
}

// cos(pi / 4) = 0.7071068 at a quarter of the limit: heights 0.8535534, 0.5 and 0.
TEST(CosineLength, status_and_length_make_the_reward) {
  expect_close(shaped_rewards(of_lengths({2, 4, 8, 9}), method("cosine_length")),
               {0.5 + 0.5 * (2 + std::sqrt(2.0)) / 4,
                0.75,
                0.5,
                0.5,
                -0.5 * (2 + std::sqrt(2.0)) / 4,
                -0.25,
                0,
                0});
  expect_close(shaped_rewards(of_lengths({2}),
                              method("cosine_length",
                                     {{"limit", 4}, {"correct_short", 3}, {"correct_long", 1}})),
               {2, -0.25});
}

TEST(CosineLength, never_rises_above_the_ground_truth) {
  InjectionOptions injection;
  injection.mode = InjectMode::kAppend;
  injection.gt_reward = 0.25;
  auto groups = inject_ground_truth({make_group(make_prompt(), {0, 0})}, injection, {});
  const auto shapers =
      make_shapers(with_shaper(method("cosine_length", {{"wrong_short", 2}, {"wrong_long", 2}})),
                   {.max_new_tokens = 8});
  EXPECT_EQ(rewards_of(shape_rewards(std::move(groups), shapers, injection)[0]),
            (Doubles{0.25, 0.25, 0.25}));
}

RolloutGroup saying(const std::vector<std::string>& texts) {
  RolloutGroup group = make_group(make_prompt(), Doubles(texts.size(), 1));
  for (size_t i = 0; i < texts.size(); ++i) group.members[i].completion.text = texts[i];
  return group;
}

// "a b a b a b": the 3-grams aba bab aba bab, two of four distinct.
TEST(Repetition, repeated_n_grams_cost_their_share) {
  const RolloutGroup group = saying({"a b a b a b", "a B\n A b a b", "a b c d", "a a", ""});
  expect_close(shaped_rewards(group, method("repetition")), {0.5, 0.5, 1, 1, 1});
  // Words: a a is one of two. "a b a b a b": two of six.
  expect_close(shaped_rewards(group, method("repetition", {{"n", 1}, {"weight", 0.5}})),
               {1 - 0.5 * 4 / 6, 1 - 0.5 * 4 / 6, 1, 0.75, 1});
  EXPECT_EQ(refused_shaper(method("repetition", {{"n", 0}})),
            "algorithm.shaping[0].params.n is 0, expected an integer in [1, 100]");
}

}  // namespace
}  // namespace sgrpo::algorithm
