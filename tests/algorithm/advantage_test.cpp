#include "sgrpo/algorithm/advantage.h"

#include <gtest/gtest.h>

#include <numeric>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

AlgorithmOptions options_of(const std::string& estimator, const std::string& std, double eps) {
  AlgorithmOptions options;
  options.estimator = estimator;
  options.std = core::from_name<RewardScale>(std).value();
  options.std_eps = eps;
  return options;
}

Doubles advantages_of_rewards(const Doubles& rewards, const AlgorithmOptions& options) {
  const auto prompt = make_prompt();
  return advantages_of(estimate({make_group(prompt, rewards)}, options, {})[0]);
}

Doubles random_rewards(size_t n, uint64_t draw) {
  Doubles rewards;
  for (size_t i = 0; i < n; ++i) {
    rewards.push_back(core::RandomKey{.seed = draw, .sample_index = i}.uniform());
  }
  return rewards;
}

struct Convention {
  std::string estimator, std, mode;
  double (*truth)(double g);
  double (*failure)(double g);
};

// One reward 1, the rest 0, closed forms with std_eps 0: injected / failed member.
const std::vector<Convention> kConventions = {
    {"grpo",
     "sample",
     "replace",
     [](double g) { return (g - 1) / std::sqrt(g); },
     [](double g) { return -1 / std::sqrt(g); }},
    {"grpo",
     "population",
     "replace",
     [](double g) { return std::sqrt(g - 1); },
     [](double g) { return -1 / std::sqrt(g - 1); }},
    {"grpo",
     "sample",
     "append",
     [](double g) { return g / std::sqrt(g + 1); },
     [](double g) { return -1 / std::sqrt(g + 1); }},
    {"grpo",
     "population",
     "append",
     [](double g) { return std::sqrt(g); },
     [](double g) { return -1 / std::sqrt(g); }},
    {"grpo",
     "none",
     "replace",
     [](double g) { return 1 - 1 / g; },
     [](double g) { return -1 / g; }},
    {"grpo",
     "none",
     "append",
     [](double g) { return g / (g + 1); },
     [](double g) { return -1 / (g + 1); }},
    {"dr_grpo",
     "sample",
     "replace",
     [](double g) { return 1 - 1 / g; },
     [](double g) { return -1 / g; }},
    {"rloo",
     "sample",
     "replace",
     [](double) { return 1.0; },
     [](double g) { return -1 / (g - 1); }},
    {"rloo", "sample", "append", [](double) { return 1.0; }, [](double g) { return -1 / g; }},
};

TEST(InjectedAdvantages, closed_forms_hold_for_every_convention) {
  const auto prompt = make_prompt();
  for (const Convention& convention : kConventions) {
    for (const int64_t size : {4, 8, 16}) {
      InjectionOptions injection;
      injection.mode = core::from_name<InjectMode>(convention.mode).value();
      const AlgorithmOptions options = options_of(convention.estimator, convention.std, 0.0);
      auto groups = inject_ground_truth(
          {make_group(prompt, Doubles(static_cast<size_t>(size), 0.0))}, injection, {});
      groups = estimate(std::move(groups), options, injection);
      const auto g = static_cast<double>(size);
      for (const GroupMember& member : groups[0].members) {
        const bool is_truth = member.completion.origin == Origin::kGroundTruth;
        const double expected = is_truth ? convention.truth(g) : convention.failure(g);
        EXPECT_NEAR(member.advantage(), expected, 4e-15)
            << convention.estimator << " " << convention.std << " " << convention.mode << " " << g;
      }
    }
  }
}

/// Advantages of the injected and of a failed member, rounded to four digits.
std::pair<double, double> rounded(const std::string& std, const std::string& mode, size_t size) {
  const auto prompt = make_prompt();
  InjectionOptions injection;
  injection.mode = core::from_name<InjectMode>(mode).value();
  auto groups = inject_ground_truth({make_group(prompt, Doubles(size, 0.0))}, injection, {});
  groups = estimate(std::move(groups), options_of("grpo", std, 1e-4), injection);
  double highest = -1, lowest = 1;
  for (const double advantage : advantages_of(groups[0])) {
    highest = std::max(highest, advantage);
    lowest = std::min(lowest, advantage);
  }
  return {std::round(highest * 1e4) / 1e4, std::round(lowest * 1e4) / 1e4};
}

// 1 / (s + 1e-4) by hand: s = sqrt(1/G) sample, sqrt(G-1)/G population; append has G + 1 members.
TEST(InjectedAdvantages, default_std_eps_gives_the_hand_table) {
  using Pair = std::pair<double, double>;
  EXPECT_EQ(rounded("sample", "replace", 4), (Pair{1.4997, -0.4999}));
  EXPECT_EQ(rounded("sample", "replace", 8), (Pair{2.4742, -0.3535}));
  EXPECT_EQ(rounded("sample", "replace", 16), (Pair{3.7485, -0.2499}));
  EXPECT_EQ(rounded("population", "replace", 8), (Pair{2.6450, -0.3779}));
  EXPECT_EQ(rounded("sample", "append", 8), (Pair{2.6659, -0.3332}));
  EXPECT_EQ(rounded("population", "append", 8), (Pair{2.8275, -0.3534}));
  EXPECT_EQ(rounded("none", "replace", 8), (Pair{0.8750, -0.1250}));
}

TEST(InjectedAdvantages, a_group_with_one_success_is_unchanged_by_cgi) {
  const auto prompt = make_prompt();
  const std::vector<RolloutGroup> groups = {make_group(prompt, {1, 0, 0, 0})};
  const auto injected = inject_ground_truth(groups, {}, {});
  EXPECT_EQ(advantages_of(estimate(injected, {}, {})[0]),
            advantages_of(estimate(groups, {}, {})[0]));
}

TEST(Grpo, sample_deviation_gives_the_hand_values) {
  const AlgorithmOptions options = options_of("grpo", "sample", 0.0);
  const Doubles half = advantages_of_rewards({1, 0, 0, 1}, options);
  EXPECT_NEAR(half[0], std::sqrt(0.75), 1e-15);
  EXPECT_NEAR(half[1], -std::sqrt(0.75), 1e-15);
  const Doubles one = advantages_of_rewards({1, 0, 0, 0}, options);
  EXPECT_NEAR(one[0], 1.5, 1e-15);
  EXPECT_NEAR(one[3], -0.5, 1e-15);
}

TEST(Estimators, match_the_loop_twin_on_random_groups) {
  for (uint64_t draw = 0; draw < 20; ++draw) {
    const Doubles rewards = random_rewards(2 + draw % 7, draw);
    for (const std::string std : {"sample", "population", "none"}) {
      const Doubles got = advantages_of_rewards(rewards, options_of("grpo", std, 1e-6));
      const Doubles expected = reference::group_advantages(rewards, std, 1e-6);
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << std;
    }
    const Doubles rloo = advantages_of_rewards(rewards, options_of("rloo", "sample", 0));
    const Doubles expected = reference::leave_one_out(rewards);
    for (size_t i = 0; i < rloo.size(); ++i) EXPECT_NEAR(rloo[i], expected[i], 1e-14);
  }
}

TEST(Estimators, advantages_sum_to_zero_and_ignore_a_common_offset) {
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    const AlgorithmOptions options = options_of(name, "sample", 1e-4);
    const Doubles rewards = random_rewards(8, 3);
    const Doubles advantages = advantages_of_rewards(rewards, options);
    EXPECT_NEAR(std::accumulate(advantages.begin(), advantages.end(), 0.0), 0.0, 1e-14) << name;
    Doubles shifted = rewards;
    for (double& reward : shifted) reward += 1024;  // costs 10 of the 53 bits of a reward
    const Doubles moved = advantages_of_rewards(shifted, options);
    for (size_t i = 0; i < moved.size(); ++i) EXPECT_NEAR(moved[i], advantages[i], 1e-11) << name;
  }
}

TEST(Estimators, zero_spread_gives_exact_zeros) {
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    // The mean of seven 0.1 is not 0.1 in binary: equality is checked on the rewards.
    EXPECT_EQ(advantages_of_rewards(Doubles(7, 0.1), options_of(name, "sample", 0)), Doubles(7, 0));
  }
}

TEST(Estimators, permuting_members_permutes_advantages) {
  const AlgorithmOptions options;
  const Doubles rewards = random_rewards(6, 8);
  const Doubles advantages = advantages_of_rewards(rewards, options);
  const std::vector<size_t> order = {3, 5, 0, 1, 4, 2};
  Doubles permuted;
  for (const size_t i : order) permuted.push_back(rewards[i]);
  const Doubles got = advantages_of_rewards(permuted, options);
  for (size_t i = 0; i < order.size(); ++i) EXPECT_NEAR(got[i], advantages[order[i]], 1e-14);
}

TEST(Estimators, invalid_members_take_no_part) {
  const auto prompt = make_prompt();
  for (const std::string name : {"grpo", "dr_grpo", "rloo"}) {
    const AlgorithmOptions options = options_of(name, "sample", 0);
    RolloutGroup group = make_group(prompt, {1, 0.7, 0, 0.5});
    group.members[1].verdict.status = VerdictStatus::kTimeout;
    group.members[3].verdict.status = VerdictStatus::kError;
    const Doubles got = advantages_of(estimate({group}, options, {})[0]);
    const Doubles two = advantages_of_rewards({1, 0}, options);
    EXPECT_EQ(got, (Doubles{two[0], 0, two[1], 0})) << name;
    group.members[2].verdict.status = VerdictStatus::kError;  // one valid member: no spread
    EXPECT_EQ(advantages_of(estimate({group}, options, {})[0]), Doubles(4, 0)) << name;
  }
}

TEST(Estimators, groups_of_unequal_size_do_not_touch_each_other) {
  const auto prompt = make_prompt();
  const auto groups =
      estimate({make_group(prompt, {1, 0}), make_group(prompt, {0.5, 0, 1, 1, 0})}, {}, {});
  EXPECT_EQ(advantages_of(groups[0]), advantages_of_rewards({1, 0}, {}));
  EXPECT_EQ(advantages_of(groups[1]), advantages_of_rewards({0.5, 0, 1, 1, 0}, {}));
}

TEST(FailWeight, scales_negative_advantages_of_injected_groups_only) {
  const auto prompt = make_prompt();
  InjectionOptions injection;
  injection.fail_weight = 0.5;
  auto groups = inject_ground_truth(
      {make_group(prompt, {0, 0, 0, 0}), make_group(prompt, {1, 0, 0, 0})}, injection, {});
  groups = estimate(std::move(groups), options_of("grpo", "none", 0), injection);
  EXPECT_EQ(advantages_of(groups[0]), (Doubles{0.75, -0.125, -0.125, -0.125}));
  EXPECT_EQ(advantages_of(groups[1]), (Doubles{0.75, -0.25, -0.25, -0.25}));
}

TEST(ComputeAdvantages, group_of_one_needs_append) {
  const auto prompt = make_prompt();
  EXPECT_THROW(estimate({make_group(prompt, {0})}, {}, {}), c10::ValueError);
  InjectionOptions append;
  append.mode = InjectMode::kAppend;
  EXPECT_EQ(advantages_of(estimate({make_group(prompt, {1})}, {}, append)[0]), Doubles{0});
}

TEST(Registry, names_are_pinned_and_a_typo_gets_the_nearest) {
  const auto names = EstimatorRegistry::names();
  for (const std::string name : {"grpo", "dr_grpo", "rloo", "reinforce_plus_plus"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
  try {
    estimate({}, options_of("grop", "sample", 0), {});
    FAIL() << "an unknown estimator was accepted";
  } catch (const core::UserError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("unknown estimator 'grop'"), std::string::npos) << message;
    EXPECT_NE(message.find("dr_grpo"), std::string::npos) << message;
  }
}

std::string refusal(const AlgorithmOptions& options, int64_t group_size) {
  InjectionOptions injection;
  injection.when = InjectWhen::kNever;
  try {
    validate(options, injection, group_size);
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Validate, names_the_key_and_the_remedy) {
  EXPECT_EQ(refusal({}, 8), "");
  EXPECT_EQ(refusal({}, 1),
            "rollout.group_size is 1: estimator grpo compares the members of a group, use "
            "group_size >= 2");
  AlgorithmOptions options;
  options.params["alpha"] = 1.0;
  EXPECT_EQ(refusal(options, 8),
            "algorithm.params.alpha: expected {estimator: {...}, loss: {...}}, each the parameters "
            "of that method");
  options.params = {{"loss", {{"alpha", 1.0}}}};
  EXPECT_EQ(refusal(options, 8), "algorithm.params.loss.alpha is unknown; known: none");
  options.params = {{"estimator", {{"alpha", 1.0}}}};
  EXPECT_EQ(refusal(options, 8), "algorithm.params.estimator.alpha is unknown; known: none");
  options = {};
  options.loss = "sft";
  EXPECT_EQ(refusal(options, 8),
            "algorithm.loss is sft, which is a part of a step beside the rollouts only; for "
            "supervised steps use `sgrpo sft` or trainer.sft_steps");
  options = {};
  options.loss = "cliped";
  EXPECT_NE(refusal(options, 8).find("unknown loss 'cliped' (did you mean 'clipped'?)"),
            std::string::npos)
      << refusal(options, 8);
}

}  // namespace
}  // namespace sgrpo::algorithm
