// One launch for injection and advantages against the steps one after the other: the same bits.
#include "sgrpo/algorithm/one_launch.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

/// Groups of random verdicts, with and without a ground truth.
std::vector<RolloutGroup> random_groups(uint64_t seed) {
  std::vector<RolloutGroup> groups;
  uint64_t draws = 0;
  const auto draw = [&](uint64_t below) {
    return core::RandomKey{.seed = seed, .sample_index = draws++}.below(below);
  };
  for (int64_t p = 0; p < 40; ++p) {
    std::vector<double> rewards(5);
    const bool fails = draw(2) == 0;
    for (double& reward : rewards) reward = 0.25 * static_cast<double>(draw(fails ? 4 : 5));
    const std::vector<int64_t> truth =
        draw(5) == 0 ? std::vector<int64_t>{} : std::vector<int64_t>{7, 2};
    groups.push_back(make_group(make_prompt(3, truth), rewards, p));
    for (GroupMember& member : groups.back().members) {
      member.completion.sampler_logprobs.front() = -static_cast<float>(draw(4));
      if (draw(6) == 0) member.verdict.status = VerdictStatus::kTimeout;
    }
  }
  return classify(std::move(groups));
}

void expect_same(const std::vector<RolloutGroup>& got, const std::vector<RolloutGroup>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t p = 0; p < got.size(); ++p) {
    EXPECT_EQ(got[p].is_injected, expected[p].is_injected) << p;
    EXPECT_EQ(got[p].missing_ground_truth, expected[p].missing_ground_truth) << p;
    EXPECT_EQ(got[p].replaced.has_value(), expected[p].replaced.has_value()) << p;
    EXPECT_EQ(rewards_of(got[p]), rewards_of(expected[p])) << p;
    ASSERT_EQ(got[p].size(), expected[p].size()) << p;
    for (size_t i = 0; i < got[p].members.size(); ++i) {
      const GroupMember &own = got[p].members[i], &other = expected[p].members[i];
      EXPECT_EQ(own.completion.origin, other.completion.origin) << p << " " << i;
      EXPECT_EQ(own.completion.sample_index, other.completion.sample_index) << p << " " << i;
      EXPECT_EQ(own.advantages, other.advantages) << p << " " << i;
    }
  }
}

TEST(OneLaunch, gives_the_bits_of_the_steps_one_after_the_other) {
  const InjectionContext context{.seed = 5, .step = 3};
  const auto groups = random_groups(1);
  int64_t injected = 0;
  for (const InjectWhen when : {InjectWhen::kNever, InjectWhen::kAllFail, InjectWhen::kAlways}) {
    for (const InjectMode mode : {InjectMode::kReplace, InjectMode::kAppend}) {
      for (const Victim victim :
           {Victim::kLowestLogprob, Victim::kRandom, Victim::kFirst, Victim::kLast}) {
        for (const std::string estimator : {"grpo", "dr_grpo"}) {
          const bool is_first = victim == Victim::kFirst;
          const InjectionOptions injection{.when = when,
                                           .mode = mode,
                                           .victim = victim,
                                           .gt_reward = 0.75,
                                           .smoothing = is_first,
                                           .fail_weight = is_first ? 0.5 : 1.0,
                                           .max_fraction = is_first ? 0.2 : 1.0};
          AlgorithmOptions options;
          options.estimator = estimator;
          const auto got = inject_and_estimate(groups, options, injection, context, at::kCPU);
          const auto expected = estimate(
              shape_rewards(inject_ground_truth(groups, injection, context), {}, injection),
              options,
              injection);
          expect_same(got, expected);
          for (const RolloutGroup& group : got) injected += group.is_injected;
        }
      }
    }
  }
  EXPECT_GT(injected, 100);
}

TEST(OneLaunch, fits_formulas_with_nothing_around_them) {
  AlgorithmOptions options;
  for (const std::string estimator : {"rloo", "reinforce_plus_plus", "grpo", "dr_grpo"}) {
    options.estimator = estimator;
    EXPECT_EQ(fits_one_launch(options), estimator == "grpo" || estimator == "dr_grpo") << estimator;
  }
  options.kl_coef = 0.1;
  EXPECT_TRUE(fits_one_launch(options));
  options.kl_place = KlPlace::kReward;
  EXPECT_FALSE(fits_one_launch(options));
  options.kl_place = KlPlace::kLoss;
  options.shaping.push_back(method("overlong"));
  EXPECT_FALSE(fits_one_launch(options));
  options.shaping.clear();
  options.modifiers.push_back(method("seed"));
  EXPECT_FALSE(fits_one_launch(options));
}

TEST(OneLaunch, refuses_what_the_steps_refuse) {
  const auto single = make_group(make_prompt(), {0.0});
  const InjectionOptions never{.when = InjectWhen::kNever};
  const std::string message =
      message_of([&] { inject_and_estimate({single}, {}, never, {}, at::kCPU); });
  EXPECT_NE(message.find("prompt 0: a group of one member has no group-relative advantage"),
            std::string::npos)
      << message;
}

}  // namespace
}  // namespace sgrpo::algorithm
