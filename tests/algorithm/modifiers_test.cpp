#include "sgrpo/algorithm/modifiers.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

std::vector<std::unique_ptr<Modifier>> seed_with(const core::Json& params) {
  AlgorithmOptions options;
  options.modifiers = core::Json::array({method("seed", params)});
  return make_modifiers(options);
}

/// What a group of these answers makes of an advantage of 1.
double scale_of(const std::vector<std::string>& answers,
                const core::Json& params = core::Json::object()) {
  RolloutGroup group = make_group(make_prompt(), Doubles(answers.size(), 0));
  for (size_t i = 0; i < answers.size(); ++i) {
    group.members[i].verdict.answer = answers[i];
    group.members[i].set_advantage(1);
  }
  return advantages_of(modify_advantages({group}, seed_with(params), {})[0])[0];
}

TEST(Seed, equal_answers_leave_advantages_alone) {
  EXPECT_EQ(scale_of({"7", "7", "7", "7"}), 1.0);
  EXPECT_EQ(scale_of({"", "", ""}, {{"coef", 100}}), 1.0);  // unread answers are one kind
}

// Four answers in two halves: log 2 nats; all different: log 4. Scale 1 / (1 + coef SE).
TEST(Seed, the_scale_falls_with_the_entropy_of_the_answers) {
  EXPECT_NEAR(scale_of({"7", "8", "7", "8"}, {{"coef", 0.5}}), 1 / (1 + 0.5 * std::log(2)), 1e-15);
  EXPECT_NEAR(scale_of({"7", "8", "9", "1"}, {{"coef", 0.5}}), 1 / (1 + 0.5 * std::log(4)), 1e-15);
  EXPECT_NEAR(scale_of({"7", "8", "7", "8"}), 1 / (1 + 0.0417 * std::log(2)), 1e-15);
  const double quarter = -(0.25 * std::log(0.25) + 0.75 * std::log(0.75));
  EXPECT_NEAR(scale_of({"7", "8", "8", "8"}, {{"coef", 1}}), 1 / (1 + quarter), 1e-15);
  // Normalised, all different is 1 whatever the number of members.
  EXPECT_NEAR(scale_of({"7", "8", "9"}, {{"coef", 1}, {"normalize", true}}), 0.5, 1e-15);
  EXPECT_NEAR(scale_of({"7", "8"}, {{"coef", 1}, {"normalize", true}}), 0.5, 1e-15);
}

TEST(Seed, counts_valid_sampled_members_and_scales_all_tokens) {
  RolloutGroup group = make_group(make_prompt(), {0, 0, 1, 0});
  const std::vector<std::string> answers = {"7", "8", "9", "1"};
  for (size_t i = 0; i < 4; ++i) group.members[i].verdict.answer = answers[i];
  group.members[0].advantages = {1, -2};
  group.members[2].advantages = {4, 4};
  group.members[2].completion.origin = Origin::kGroundTruth;
  group.members[3].verdict.status = VerdictStatus::kTimeout;
  group = modify_advantages({group}, seed_with({{"coef", 1}}), {})[0];
  const double scale = 1 / (1 + std::log(2));
  EXPECT_NEAR(group.members[0].advantages[0], scale, 1e-15);
  EXPECT_NEAR(group.members[0].advantages[1], -2 * scale, 1e-15);
  EXPECT_NEAR(group.members[2].advantages[1], 4 * scale, 1e-15);
}

std::vector<std::unique_ptr<Modifier>> modifiers_of(const core::Json& modifier) {
  AlgorithmOptions options;
  options.modifiers = core::Json::array({modifier});
  return make_modifiers(options);
}

/// Members of these advantages (positive: correct) and sums of log-probs over two tokens.
RolloutGroup advantaged(const Doubles& advantages, const Doubles& sums) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (size_t i = 0; i < advantages.size(); ++i) {
    group.members.push_back(make_member(advantages[i] > 0 ? 1 : 0, 2, sums[i]));
    group.members.back().set_advantage(advantages[i]);
  }
  return group;
}

void expect_modified(const RolloutGroup& group, const core::Json& modifier, const Doubles& values) {
  const Doubles got = advantages_of(modify_advantages({group}, modifiers_of(modifier), {})[0]);
  ASSERT_EQ(got.size(), values.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], values[i], 1e-7) << i;
}

// Mean log-probs -0.5 and -1.5 around -1: eta 1.6487213 and 0.6065307, bonus 0 and 0.9836733.
TEST(Novelty, unlikely_correct_members_gain_at_most_half) {
  expect_modified(advantaged({1, 1}, {-1, -3}), method("novelty"), {1, 1.5});
  expect_modified(advantaged({4, 4}, {-1, -3}), method("novelty"), {4, 4.9836733});
  expect_modified(advantaged({4, 4}, {-1, -3}), method("novelty", {{"scale", 1}}), {4, 4.3934693});
  expect_modified(advantaged({1, -1}, {-1, -3}), method("novelty"), {1, -1});
}

TEST(Novelty, the_ground_truth_and_unjudged_members_have_no_part) {
  RolloutGroup group = advantaged({1, 1, 1, 1}, {-1, -3, -9, -9});
  group.members[2].completion.origin = Origin::kGroundTruth;
  group.members[2].completion.sampler_logprobs.clear();
  group.members[3].verdict.status = VerdictStatus::kError;
  expect_modified(group, method("novelty"), {1, 1.5, 1, 1});
}

TEST(RedDrop, as_many_negative_members_stay_as_positive_ones) {
  const RolloutGroup group = advantaged({3, -1, -1, -1, 0.5, -1, 0}, Doubles(7, -1));
  std::set<Doubles> seen;
  for (uint64_t step = 0; step < 40; ++step) {
    const core::RandomKey key{.seed = 3, .step = step};
    const Doubles got =
        advantages_of(modify_advantages({group}, modifiers_of(method("red_drop")), key)[0]);
    EXPECT_EQ(std::count(got.begin(), got.end(), -1.0), 2);
    EXPECT_EQ(got[0], 3.0);
    EXPECT_EQ(got[4], 0.5);
    EXPECT_EQ(got,
              advantages_of(modify_advantages({group}, modifiers_of(method("red_drop")), key)[0]));
    seen.insert(got);
  }
  EXPECT_EQ(seen.size(), 6U);  // of four negative members each pair stays at times
  expect_modified(advantaged({1, 2, -1}, Doubles(3, -1)), method("red_drop"), {1, 2, -1});
}

TEST(RedWeight, advantages_are_weighed_by_their_exponential) {
  expect_modified(advantaged({1, -1}, {-1, -1}), method("red_weight"), {2.7182818, -0.3678794});
  expect_modified(advantaged({2, -2}, {-1, -1}),
                  method("red_weight", {{"temperature", 2}}),
                  {5.4365637, -0.7357589});
  const auto large = advantages_of(
      modify_advantages({advantaged({1e4}, {-1})}, modifiers_of(method("red_weight")), {})[0]);
  EXPECT_NEAR(large[0], 1e4 * std::exp(20.0), 1.0);
}

TEST(Modifiers, broken_entries_are_named) {
  const auto refused = [](const core::Json& modifier) {
    AlgorithmOptions options;
    options.modifiers = core::Json::array({modifier});
    return message_of([&] { make_modifiers(options); });
  };
  const std::string unknown = refused(method("sead"));
  EXPECT_NE(unknown.find("algorithm.modifiers[0] 'sead' (did you mean 'seed'?); known: "),
            std::string::npos)
      << unknown;
  EXPECT_EQ(refused(method("seed", {{"coeff", 1}})),
            "algorithm.modifiers[0].params.coeff is unknown (did you mean 'coef'?); known: coef, "
            "normalize");
  EXPECT_EQ(refused(method("seed", {{"coef", -1}})),
            "algorithm.modifiers[0].params.coef is -1, expected a number in [0, 1e+06]");
  EXPECT_EQ(refused(method("seed", {{"normalize", 1}})),
            "algorithm.modifiers[0].params.normalize is 1, expected true or false");
  AlgorithmOptions options;
  options.modifiers = core::Json::array({method("seed", {{"coef", "x"}})});
  EXPECT_THROW(validate(options, {}, 8), core::UserError);
}

}  // namespace
}  // namespace sgrpo::algorithm
