#include "sgrpo/algorithm/shaping.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/injection.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

AlgorithmOptions shaped_by(const core::Json& shaping) {
  AlgorithmOptions options;
  options.shaping = shaping.is_object() ? core::Json::array({shaping}) : shaping;
  return options;
}

/// A group whose members have these rewards and lengths.
RolloutGroup group_of_lengths(const Doubles& rewards, const std::vector<int64_t>& lengths) {
  RolloutGroup group = make_group(make_prompt(), rewards);
  for (size_t i = 0; i < lengths.size(); ++i) {
    group.members[i].completion.token_ids.assign(static_cast<size_t>(lengths[i]), 10);
    group.members[i].completion.sampler_logprobs.assign(static_cast<size_t>(lengths[i]), -1.0f);
  }
  return group;
}

Doubles shape(const RolloutGroup& group, const core::Json& shaping, int64_t max_new_tokens) {
  const auto shapers = make_shapers(shaped_by(shaping), {.max_new_tokens = max_new_tokens});
  return rewards_of(shape_rewards({group}, shapers, {})[0]);
}

// The published setting: limit 20480, buffer 4096.
TEST(Overlong, the_penalty_has_the_published_values) {
  const core::Json shaping = method("overlong", {{"limit", 20480}, {"buffer", 4096}});
  const RolloutGroup group = group_of_lengths({1, 1, 1, 1, 0}, {16384, 18432, 20480, 20481, 17408});
  EXPECT_EQ(shape(group, shaping, 7), (Doubles{1, 0.5, 0, 0, -0.25}));
}

TEST(Overlong, limit_and_buffer_follow_max_new_tokens) {
  const core::Json shaping = method("overlong");
  const RolloutGroup group = group_of_lengths({1, 1, 1}, {80, 90, 100});
  EXPECT_EQ(shape(group, shaping, 100), (Doubles{1, 0.5, 0}));  // the buffer is a fifth
}

TEST(Shaping, verdicts_and_members_that_were_not_judged_stay) {
  RolloutGroup group = group_of_lengths({1, 1}, {100, 100});
  group.members[1].verdict.status = VerdictStatus::kTruncated;
  const auto shapers = make_shapers(shaped_by(method("overlong")), {.max_new_tokens = 100});
  const auto shaped = shape_rewards({group}, shapers, {});
  EXPECT_EQ(shaped[0].members[0].verdict.reward, 1.0);
  EXPECT_EQ(shaped[0].members[0].reward(), 0.0);
  EXPECT_FALSE(shaped[0].members[1].shaped_reward.has_value());
}

/// Adds 5 to every reward.
class Bonus final : public Shaper {
 public:
  double shape(const RolloutGroup& /*group*/, const GroupMember& member) const override {
    return member.reward() + 5;
  }
};

TEST(Shaping, never_lifts_a_member_above_the_ground_truth) {
  std::vector<std::unique_ptr<Shaper>> shapers;
  shapers.push_back(std::make_unique<Bonus>());
  InjectionOptions injection;
  injection.mode = InjectMode::kAppend;
  auto groups = inject_ground_truth(
      {make_group(make_prompt(), {0, 0.5}), make_group(make_prompt(), {1, 0})}, injection, {});
  groups[0].members[1].verdict.reward = 3;  // better than the ground truth by its own verdict
  groups = shape_rewards(std::move(groups), shapers, injection);
  EXPECT_EQ(rewards_of(groups[0]), (Doubles{1, 3, 1}));
  EXPECT_EQ(rewards_of(groups[1]), (Doubles{6, 5}));  // nothing was injected: no ceiling
}

TEST(Shaping, smoothing_reads_shaped_rewards) {
  InjectionOptions injection;
  injection.when = InjectWhen::kAlways;
  injection.mode = InjectMode::kAppend;
  injection.smoothing = true;
  const auto shapers = make_shapers(shaped_by(method("overlong")), {.max_new_tokens = 100});
  auto groups = inject_ground_truth({group_of_lengths({1, 1, 0}, {10, 90, 10})}, injection, {});
  groups = shape_rewards(std::move(groups), shapers, injection);
  EXPECT_EQ(rewards_of(groups[0]), (Doubles{1, 0.5, 0, 0.5}));
}

TEST(SubtractKl, sampled_members_pay_the_sum_of_their_tokens) {
  RolloutGroup group = make_group(make_prompt(), {1, 0, 1});
  group.members[0].scores = {.old_logprobs = {-1, -2}, .ref_logprobs = {-1.5f, -3}};
  group.members[1].scores = {.old_logprobs = {-2, -1}, .ref_logprobs = {-1, -1}};
  group.members[2].completion.origin = Origin::kGroundTruth;
  group = subtract_kl({group}, 0.5)[0];
  // k1 sums: 0.5 + 1, and -1.
  EXPECT_EQ(rewards_of(group), (Doubles{0.25, 0.5, 1}));
  EXPECT_EQ(group.members[0].verdict.reward, 1.0);
  group.members[1].scores.ref_logprobs.clear();
  const std::string message = message_of([&] { subtract_kl({group}, 0.5); });
  EXPECT_NE(message.find("kl_place reward: a member is not scored"), std::string::npos) << message;
}

std::string refused_shaping(const core::Json& shaping) {
  return message_of([&] { make_shapers(shaped_by(shaping), {.max_new_tokens = 100}); });
}

TEST(Shaping, broken_entries_are_named) {
  EXPECT_EQ(refused_shaping(core::Json::array()), "");
  core::Json misspelt = method("overlong");
  misspelt["parms"] = 1;
  EXPECT_EQ(refused_shaping("overlong"),
            "algorithm.shaping must be a list of {name, params}, or [] for none");
  EXPECT_EQ(refused_shaping(core::Json::array({1})),
            "algorithm.shaping[0] must be {name: ..., params: {...}}");
  EXPECT_EQ(refused_shaping(core::Json::array({method("overlong"), misspelt})),
            "algorithm.shaping[1].parms is unknown; expected name and params");
  const std::string unknown = refused_shaping(method("overlog"));
  EXPECT_NE(unknown.find("'overlog' (did you mean 'overlong'?); known: "), std::string::npos)
      << unknown;
  EXPECT_NE(unknown.find("algorithm.shaping[0]"), std::string::npos) << unknown;
  EXPECT_EQ(refused_shaping(method("overlong", {{"bufer", 3}})),
            "algorithm.shaping[0].params.bufer is unknown (did you mean 'buffer'?); known: limit, "
            "buffer");
  EXPECT_EQ(refused_shaping(method("overlong", {{"limit", 10}, {"buffer", 11}})),
            "algorithm.shaping[0].params.buffer is 11, expected an integer in [1, 10]");
  EXPECT_EQ(refused_shaping(method("overlong", {{"limit", 1.5}})),
            "algorithm.shaping[0].params.limit is 1.5, expected an integer in [1, 1048576]");
}

}  // namespace
}  // namespace sgrpo::algorithm
