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
  return advantages_of(modify_advantages({group}, seed_with(params))[0])[0];
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
  group = modify_advantages({group}, seed_with({{"coef", 1}}))[0];
  const double scale = 1 / (1 + std::log(2));
  EXPECT_NEAR(group.members[0].advantages[0], scale, 1e-15);
  EXPECT_NEAR(group.members[0].advantages[1], -2 * scale, 1e-15);
  EXPECT_NEAR(group.members[2].advantages[1], 4 * scale, 1e-15);
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
