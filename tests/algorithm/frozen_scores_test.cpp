// What policies of `frozen` think of members: GRPO-CARE's bonus, teachers. Numbers by hand.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/algorithm/shaping.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

/// "so 7": three tokens, the last one the answer, which `ema` gives this probability.
GroupMember care_member(double reward, double confidence) {
  GroupMember member = make_member(reward, 3);
  member.completion.text = "so 7";
  member.completion.token_ends = {2, 3, 4};
  member.verdict.answer = "7";
  member.verdict.answer_span = {{3, 4}};
  member.scores.frozen_logprobs["ema"] = {-9.0f, -9.0f, static_cast<float>(std::log(confidence))};
  return member;
}

RolloutGroup care_group(const std::vector<std::pair<double, double>>& members) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (const auto& [reward, confidence] : members)
    group.members.push_back(care_member(reward, confidence));
  return group;
}

Doubles care_rewards(const RolloutGroup& group, const core::Json& params = core::Json::object()) {
  AlgorithmOptions options;
  options.shaping = core::Json::array({method("consistency", params)});
  const auto shapers = make_shapers(options, {.max_new_tokens = 8});
  EXPECT_EQ(shapers[0]->needs().frozen, std::set<std::string>{"ema"});
  return rewards_of(shape_rewards({group}, shapers, {})[0]);
}

void expect_doubles(const Doubles& got, const Doubles& expected, double tolerance = 1e-7) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << i;
}

// Accurate are the first three (mean 0.75); their mean confidence is (0.9 + 0.3 + 0.6) / 3 = 0.6.
TEST(Consistency, accurate_and_confident_members_alone_earn_more) {
  const RolloutGroup group = care_group({{1, 0.9}, {1, 0.3}, {1, 0.6001}, {0, 0.99}});
  expect_doubles(care_rewards(group), {1.5, 1, 1.5, 0});
  expect_doubles(care_rewards(group, {{"weight", 0.2}, {"margin", 0.31}}), {1.2, 1.2, 1.2, 0});
}

TEST(Consistency, a_member_below_the_groups_mean_is_not_accurate) {
  // mean 0.6: the second is above 0.1 and below the mean
  expect_doubles(care_rewards(care_group({{1, 0.5}, {0.2, 0.9}})), {1.5, 0.2});
  // nobody is above 0.1
  expect_doubles(care_rewards(care_group({{0.1, 0.5}, {0.1, 0.9}})), {0.1, 0.1});
  expect_doubles(care_rewards(care_group({{0.1, 0.5}, {0.1, 0.9}}), {{"min_accuracy", 0.0}}),
                 {0.1, 0.15});
}

TEST(Consistency, confidence_is_capped) {
  // 0.99 and 0.96 both count as 0.95: each is at least their mean.
  expect_doubles(care_rewards(care_group({{1, 0.99}, {1, 0.96}})), {1.5, 1.5});
  expect_doubles(care_rewards(care_group({{1, 0.99}, {1, 0.96}}), {{"cap", 1.0}}), {1.5, 1});
}

TEST(Consistency, only_the_answers_tokens_are_believed) {
  RolloutGroup group = care_group({{1, 0.5}, {1, 0.5}});
  group.members[0].verdict.answer_span = {{2, 4}};  // its first token has e^-9
  expect_doubles(care_rewards(group), {1, 1.5});
  group.members[0].verdict.answer_span = std::nullopt;
  expect_doubles(care_rewards(group), {1, 1.5});
}

TEST(Consistency, a_part_of_the_reward_may_be_the_accuracy) {
  RolloutGroup group = care_group({{0.6, 0.5}, {0.6, 0.5}});
  group.members[0].verdict.breakdown = {{"right", 1.0}};
  group.members[1].verdict.breakdown = {{"right", 0.0}};
  expect_doubles(care_rewards(group, {{"part", "right"}}), {1.1, 0.6});
}

TEST(Consistency, the_injected_member_bounds_the_bonus_and_takes_no_part) {
  RolloutGroup group = care_group({{0.4, 0.9}, {0.4, 0.9}, {1, 0.9}});
  group.members[2].completion.origin = Origin::kGroundTruth;
  expect_doubles(care_rewards(group, {{"weight", 5.0}}), {1, 1, 1});
  group.members[1].scores.frozen_logprobs.clear();
  EXPECT_NE(
      message_of([&] { care_rewards(group); }).find("consistency: a member is not scored by ema"),
      std::string::npos);
}

/// Three tokens whose teacher is surer by 0.1, less sure by 0.3, surer by 5.
RolloutGroup taught(double advantage) {
  RolloutGroup group = make_group(make_prompt(), {1});
  GroupMember& member = group.members[0];
  member = make_member(1, 3);
  member.scores.old_logprobs = {-1.0f, -1.0f, -6.0f};
  member.scores.frozen_logprobs["teacher"] = {-0.9f, -1.3f, -1.0f};
  member.set_advantage(advantage);
  return group;
}

Doubles after(const std::string& modifier,
              RolloutGroup group,
              const core::Json& params = core::Json::object()) {
  AlgorithmOptions options;
  options.modifiers = core::Json::array({method(modifier, params)});
  const auto modifiers = make_modifiers(options);
  EXPECT_TRUE(modifiers[0]->needs().old_logprobs);
  return modify_advantages({std::move(group)}, modifiers, {})[0].members[0].advantages;
}

TEST(TeacherKl, each_token_gets_what_the_teacher_thinks_more_of_it) {
  expect_doubles(after("teacher_kl", taught(0.5)), {0.6, 0.2, 5.5}, 1e-6);
  expect_doubles(after("teacher_kl", taught(0.0), {{"coef", 0.5}}), {0.05, -0.15, 2.5}, 1e-6);
}

// exp(0.1) = 1.1051709, exp(-0.3) = 0.7408182 -> 0.8, exp(5) -> 1.2; halved towards 1.
TEST(Rlsd, a_teachers_favour_counts_by_the_sign_of_the_advantage) {
  expect_doubles(after("rlsd", taught(2.0)), {2.1051709, 1.8, 2.2}, 1e-6);
  // exp(-0.1) = 0.9048374, exp(0.3) -> 1.2, exp(-5) -> 0.8
  expect_doubles(after("rlsd", taught(-2.0)), {-1.9048374, -2.2, -1.8}, 1e-6);
  expect_doubles(after("rlsd", taught(2.0), {{"lambda", 1.0}, {"clip", 0.5}}),
                 {2.2103418, 1.4816364, 3.0},
                 1e-6);
  expect_doubles(after("rlsd", taught(2.0), {{"lambda", 0.0}}), {2, 2, 2});
}

TEST(Teachers, who_was_not_sampled_keeps_the_advantage) {
  RolloutGroup group = taught(0.5);
  group.members[0].completion.origin = Origin::kGroundTruth;
  group.members[0].completion.sampler_logprobs.clear();
  for (const char* modifier : {"teacher_kl", "rlsd"})
    expect_doubles(after(modifier, group), {0.5, 0.5, 0.5});
  RolloutGroup unknown = taught(0.5);
  EXPECT_NE(message_of([&] {
              after("rlsd", unknown, {{"frozen", "other"}});
            }).find("a member is not scored by the policy and by other"),
            std::string::npos);
}

TEST(FrozenScores, go_to_their_members_in_the_order_of_rows) {
  std::vector<RolloutGroup> groups = {make_group(make_prompt(), {0, 1})};
  groups[0].members[0].verdict.status = VerdictStatus::kTimeout;
  set_frozen_scores(groups, {{-1.0f, -2.0f}}, "ema");
  EXPECT_TRUE(groups[0].members[0].scores.frozen_logprobs.empty());
  EXPECT_EQ(groups[0].members[1].scores.frozen_logprobs.at("ema"),
            (std::vector<float>{-1.0f, -2.0f}));
}

}  // namespace
}  // namespace sgrpo::algorithm
