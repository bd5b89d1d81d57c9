#include "sgrpo/algorithm/injection.h"

#include <gtest/gtest.h>

#include <set>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

RolloutGroup inject_one(RolloutGroup group, const InjectionOptions& options) {
  return inject_ground_truth({std::move(group)}, options, {})[0];
}

RolloutGroup inject_and_smooth(RolloutGroup group, const InjectionOptions& options) {
  return shape_rewards({inject_one(std::move(group), options)}, {}, options)[0];
}

int64_t injected_place(const RolloutGroup& group) {
  for (size_t i = 0; i < group.members.size(); ++i) {
    if (group.members[i].completion.origin == Origin::kGroundTruth) return static_cast<int64_t>(i);
  }
  return -1;
}

TEST(Classify, kind_follows_the_valid_members_statuses) {
  const auto prompt = make_prompt();
  auto groups = classify({make_group(prompt, {0, 0.9}),
                          make_group(prompt, {1, 1}),
                          make_group(prompt, {1, 0}),
                          make_group(prompt, {0, 1}),
                          make_group(prompt, {0, 0})});
  EXPECT_EQ(groups[0].kind, GroupKind::kAllFail);
  EXPECT_EQ(groups[1].kind, GroupKind::kAllPass);
  EXPECT_EQ(groups[2].kind, GroupKind::kMixed);
  groups[3].members[0].verdict.status = VerdictStatus::kTimeout;
  groups[4].members[0].verdict.status = VerdictStatus::kError;
  groups[4].members[1].verdict.status = VerdictStatus::kTimeout;
  groups = classify(std::move(groups));
  EXPECT_EQ(groups[3].kind, GroupKind::kAllPass);
  EXPECT_TRUE(groups[3].has_valid_members);
  EXPECT_FALSE(groups[4].has_valid_members);
}

TEST(Classify, an_injected_group_keeps_the_kind_of_its_sampled_members) {
  const auto prompt = make_prompt();
  const RolloutGroup group = inject_one(make_group(prompt, {0, 0}), {});
  EXPECT_EQ(classify({group})[0].kind, GroupKind::kAllFail);
}

TEST(Inject, all_fail_group_gets_the_ground_truth_and_keeps_its_victim) {
  const auto prompt = make_prompt(3, {7, 8, 2});
  RolloutGroup group = make_group(prompt, {0.2, 0.1, 0});
  group.members[1].completion.sampler_logprobs = {-5, -5};
  group = inject_one(std::move(group), {});
  ASSERT_EQ(group.size(), 3);
  ASSERT_TRUE(group.is_injected);
  ASSERT_TRUE(group.replaced.has_value());
  EXPECT_EQ(group.replaced->completion.sample_index, 1);
  const GroupMember& truth = group.members[1];
  EXPECT_EQ(truth.completion.token_ids, (std::vector<int64_t>{7, 8, 2}));
  EXPECT_EQ(truth.completion.text, "the long form");
  EXPECT_EQ(truth.completion.origin, Origin::kGroundTruth);
  EXPECT_EQ(truth.completion.finish_reason, FinishReason::kStop);
  EXPECT_EQ(truth.completion.sample_index, -1);
  EXPECT_TRUE(truth.completion.sampler_logprobs.empty());
  EXPECT_EQ(truth.verdict.status, VerdictStatus::kCorrect);
  EXPECT_EQ(truth.verdict.reward, 1.0);
}

TEST(Inject, append_puts_the_ground_truth_last) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.mode = InjectMode::kAppend;
  const RolloutGroup group = inject_one(make_group(prompt, {0, 0, 0}), options);
  EXPECT_EQ(group.size(), 4);
  EXPECT_EQ(injected_place(group), 3);
  EXPECT_FALSE(group.replaced.has_value());
}

TEST(Inject, trigger_consults_statuses_not_rewards) {
  const auto prompt = make_prompt();
  RolloutGroup rewarded = make_group(prompt, {0, 0});
  rewarded.members[0].verdict.reward = 1.0;  // partial reward cannot block it
  EXPECT_TRUE(inject_one(rewarded, {}).is_injected);
  RolloutGroup correct = make_group(prompt, {0, 0});
  correct.members[0].verdict.status = VerdictStatus::kCorrect;
  EXPECT_FALSE(inject_one(correct, {}).is_injected);
  RolloutGroup unparsed = make_group(prompt, {0, 0});
  for (GroupMember& member : unparsed.members) member.verdict.status = VerdictStatus::kUnparsed;
  EXPECT_TRUE(inject_one(unparsed, {}).is_injected);
  RolloutGroup invalid = make_group(prompt, {0, 0});
  for (GroupMember& member : invalid.members) member.verdict.status = VerdictStatus::kTimeout;
  EXPECT_FALSE(inject_one(invalid, {}).is_injected);
  InjectionOptions always;
  always.when = InjectWhen::kAlways;
  always.mode = InjectMode::kAppend;
  EXPECT_FALSE(inject_one(invalid, always).is_injected);
  EXPECT_TRUE(inject_one(correct, always).is_injected);
}

TEST(Inject, never_and_warm_up_leave_groups_alone) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.when = InjectWhen::kNever;
  EXPECT_FALSE(inject_one(make_group(prompt, {0, 0}), options).is_injected);
  options.when = InjectWhen::kAllFail;
  options.warmup_steps = 2;
  for (const int64_t step : {1, 2, 3}) {
    const auto groups =
        inject_ground_truth({make_group(prompt, {0, 0})}, options, {.seed = 0, .step = step});
    EXPECT_EQ(groups[0].is_injected, step == 3) << "step " << step;
  }
}

TEST(Inject, missing_ground_truth_is_marked_and_nothing_else_changes) {
  const auto prompt = make_prompt(3, {});
  const RolloutGroup group = inject_one(make_group(prompt, {0, 0}), {});
  EXPECT_TRUE(group.missing_ground_truth);
  EXPECT_FALSE(group.is_injected);
  EXPECT_EQ(injected_place(group), -1);
  EXPECT_FALSE(inject_one(make_group(prompt, {0, 1}), {}).missing_ground_truth);
}

TEST(Victim, first_last_and_ties_of_lowest_logprob) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.victim = Victim::kFirst;
  EXPECT_EQ(injected_place(inject_one(make_group(prompt, {0, 0, 0}), options)), 0);
  options.victim = Victim::kLast;
  EXPECT_EQ(injected_place(inject_one(make_group(prompt, {0, 0, 0}), options)), 2);
  options.victim = Victim::kLowestLogprob;
  EXPECT_EQ(injected_place(inject_one(make_group(prompt, {0, 0, 0}), options)), 0);
}

TEST(Victim, an_invalid_member_goes_first_under_every_rule) {
  const auto prompt = make_prompt();
  for (const std::string rule : {"lowest_logprob", "lowest_reward", "random", "first", "last"}) {
    RolloutGroup group = make_group(prompt, {0, 0, 0});
    group.members[0].completion.sampler_logprobs = {-50, -50};
    group.members[1].verdict.status = VerdictStatus::kTimeout;
    InjectionOptions options;
    options.victim = core::from_name<Victim>(rule).value();
    EXPECT_EQ(injected_place(inject_one(group, options)), 1) << rule;
  }
}

TEST(Victim, lowest_reward_takes_the_worst_and_the_first_of_equals) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.victim = Victim::kLowestReward;
  EXPECT_EQ(injected_place(inject_one(make_group(prompt, {0.3, 0.1, 0.2, 0.1}), options)), 1);
}

InjectionOptions low_reward_options() {
  InjectionOptions options;
  options.when = InjectWhen::kLowReward;
  options.victim = Victim::kLowestReward;
  options.gt_reward = GtReward::kRelative;
  return options;
}

// Population deviations of 0.1 0.3: 0.1; of 0.2 0.3: 0.05; of 0 0 0 0.39: 0.169.
TEST(LowReward, best_and_deviation_of_the_rewards_must_both_be_low) {
  const auto prompt = make_prompt();
  const auto injects = [&](const Doubles& rewards) {
    return inject_one(make_group(prompt, rewards), low_reward_options()).is_injected;
  };
  EXPECT_TRUE(injects({0.2, 0.3}));
  EXPECT_FALSE(injects({0.1, 0.3 + 1e-9}));
  EXPECT_FALSE(injects({0.4, 0.4}));
  EXPECT_FALSE(injects({0, 0, 0, 0.39}));
  RolloutGroup correct = make_group(prompt, {0.2, 0.3});
  correct.members[0].verdict.status = VerdictStatus::kCorrect;  // rewards alone decide
  EXPECT_TRUE(inject_one(correct, low_reward_options()).is_injected);
  RolloutGroup unjudged = make_group(prompt, {0.2, 1.0});
  unjudged.members[1].verdict.status = VerdictStatus::kTimeout;
  EXPECT_TRUE(inject_one(unjudged, low_reward_options()).is_injected);
  unjudged.members[0].verdict.status = VerdictStatus::kError;
  EXPECT_FALSE(inject_one(unjudged, low_reward_options()).is_injected);
}

TEST(LowReward, the_ground_truth_earns_twice_the_best_within_a_half_and_one) {
  const auto prompt = make_prompt();
  const RolloutGroup low = inject_one(make_group(prompt, {0.125, 0.1, 0.15}), low_reward_options());
  EXPECT_EQ(rewards_of(low), (Doubles{0.125, 0.5, 0.15}));
  EXPECT_EQ(rewards_of(inject_one(make_group(prompt, {0.25, 0.375}), low_reward_options())),
            (Doubles{0.75, 0.375}));
  InjectionOptions options = low_reward_options();
  options.low_reward = {.max = 0.9, .std = 0.9};
  EXPECT_EQ(rewards_of(inject_one(make_group(prompt, {0.25, 0.75}), options)), (Doubles{1, 0.75}));
  options.gt_relative = {.scale = 1.0, .floor = 0.8};
  EXPECT_EQ(rewards_of(inject_one(make_group(prompt, {0.25, 0.75}), options)),
            (Doubles{0.8, 0.75}));
}

TEST(Judged, the_ground_truth_earns_what_its_text_earned_and_keeps_its_parts) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.gt_reward = GtReward::kJudged;
  RolloutGroup group = make_group(prompt, {0, 0});
  EXPECT_NE(message_of([&] { inject_one(group, options); }).find("was not judged"),
            std::string::npos);
  group.ground_truth_verdict = Verdict{.reward = 0.75,
                                       .status = VerdictStatus::kUnparsed,
                                       .breakdown = {{"right", 1.0}},
                                       .answer = "bag"};
  const RolloutGroup judged = inject_one(group, options);
  EXPECT_EQ(rewards_of(judged), (Doubles{0.75, 0}));
  EXPECT_EQ(judged.members[0].verdict.status, VerdictStatus::kCorrect);  // by definition
  EXPECT_EQ(judged.members[0].verdict.breakdown.at("right"), 1.0);
  EXPECT_EQ(judged.members[0].verdict.answer, "bag");
  options.gt_reward = 1.0;  // a method reads the parts, the reward is the number
  EXPECT_EQ(rewards_of(inject_one(group, options)), (Doubles{1, 0}));
  group.ground_truth_verdict->status = VerdictStatus::kTimeout;
  EXPECT_FALSE(inject_one(group, options).is_injected);
  EXPECT_TRUE(inject_one(group, options).missing_ground_truth);
}

TEST(Victim, random_is_a_function_of_seed_step_and_prompt) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.victim = Victim::kRandom;
  std::set<int64_t> seen;
  for (int64_t prompt_index = 0; prompt_index < 40; ++prompt_index) {
    const InjectionContext context{.seed = 5, .step = 3};
    const auto groups =
        inject_ground_truth({make_group(prompt, {0, 0, 0, 0}, prompt_index)}, options, context);
    const core::RandomKey key{.seed = 5,
                              .step = 3,
                              .prompt_index = static_cast<uint64_t>(prompt_index),
                              .purpose = core::Purpose::kVictim};
    EXPECT_EQ(injected_place(groups[0]), static_cast<int64_t>(key.below(4)));
    seen.insert(injected_place(groups[0]));
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(Victim, missing_sampler_logprobs_are_refused_by_name) {
  const auto prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {0, 0}, 17);
  group.members[1].completion.sampler_logprobs.clear();
  const std::string message = message_of([&] { inject_one(group, {}); });
  EXPECT_NE(message.find("member 1 of prompt 17 has no sampler log-probs"), std::string::npos)
      << message;
  InjectionOptions options;
  options.victim = Victim::kLast;
  EXPECT_NO_THROW(inject_one(group, options));
}

std::set<int64_t> injected_prompts(const std::vector<RolloutGroup>& groups) {
  std::set<int64_t> result;
  for (const RolloutGroup& group : groups) {
    if (group.is_injected) result.insert(group.prompt_index);
  }
  return result;
}

TEST(Cap, max_fraction_picks_groups_by_key_not_by_order) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.max_fraction = 0.3;
  std::vector<RolloutGroup> groups, reversed;
  for (int64_t p = 0; p < 10; ++p) groups.push_back(make_group(prompt, {0, p < 8 ? 0.0 : 1.0}, p));
  reversed.assign(groups.rbegin(), groups.rend());
  const InjectionContext context{.seed = 1, .step = 9};
  const auto forward = injected_prompts(inject_ground_truth(groups, options, context));
  EXPECT_EQ(forward.size(), 3u);
  EXPECT_EQ(forward, injected_prompts(inject_ground_truth(reversed, options, context)));
  const auto other_step = inject_ground_truth(groups, options, {.seed = 1, .step = 10});
  EXPECT_NE(forward, injected_prompts(other_step));
  options.max_fraction = 0.0;
  EXPECT_TRUE(injected_prompts(inject_ground_truth(groups, options, context)).empty());
  options.max_fraction = 0.29;
  EXPECT_EQ(injected_prompts(inject_ground_truth(groups, options, context)).size(), 2u);
}

/// An exchange in which the other rank sends `other`.
InjectionContext context_with(std::function<std::string()> other) {
  return {.seed = 1, .step = 9, .exchange = [other](const std::string& own) {
            return std::vector<std::string>{own, other()};
          }};
}

TEST(Cap, counts_the_groups_of_all_ranks_and_picks_what_one_rank_would) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.max_fraction = 0.3;
  std::vector<RolloutGroup> all;
  for (int64_t p = 0; p < 10; ++p) all.push_back(make_group(prompt, {0, p < 8 ? 0.0 : 1.0}, p));
  const auto expected = injected_prompts(inject_ground_truth(all, options, {.seed = 1, .step = 9}));
  ASSERT_EQ(expected.size(), 3u);
  const std::vector<RolloutGroup> shares[2] = {{all.begin(), all.begin() + 4},
                                               {all.begin() + 4, all.end()}};
  std::string sent[2];
  for (const size_t rank : {size_t{0}, size_t{1}}) {
    const InjectionContext recording{.seed = 1, .step = 9, .exchange = [&](const std::string& own) {
                                       sent[rank] = own;
                                       return std::vector<std::string>{own};
                                     }};
    inject_ground_truth(shares[rank], options, recording);
  }
  std::set<int64_t> got;
  for (const size_t rank : {size_t{0}, size_t{1}}) {
    const auto context = context_with([&] { return sent[1 - rank]; });
    got.merge(injected_prompts(inject_ground_truth(shares[rank], options, context)));
  }
  EXPECT_EQ(got, expected);
  // A rank of one group injects nothing alone, but has a part in the cap of ten.
  options.max_fraction = 0.5;
  EXPECT_TRUE(injected_prompts(inject_ground_truth({all[0]}, options, {})).empty());
  const auto nobody_else = context_with([] { return std::string("9"); });
  EXPECT_EQ(injected_prompts(inject_ground_truth({all[0]}, options, nobody_else)).size(), 1u);
}

TEST(Smoothing, a_group_with_a_success_gives_the_ground_truth_its_mean) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.when = InjectWhen::kAlways;
  options.mode = InjectMode::kAppend;
  options.smoothing = true;
  auto groups = inject_ground_truth(
      {make_group(prompt, {1, 0, 0, 0}), make_group(prompt, {0, 0, 0, 0})}, options, {});
  groups = shape_rewards(std::move(groups), {}, options);
  EXPECT_EQ(rewards_of(groups[0]), (Doubles{1, 0, 0, 0, 0.25}));
  EXPECT_EQ(groups[0].members[4].verdict.reward, 1.0);
  EXPECT_EQ(rewards_of(groups[1]), (Doubles{0, 0, 0, 0, 1}));
  groups = estimate(std::move(groups), {}, options);
  EXPECT_EQ(groups[0].members[4].advantage(), 0.0);
  EXPECT_GT(groups[0].members[0].advantage(), 0.0);
  options.smoothing = false;
  groups = shape_rewards(
      inject_ground_truth({make_group(prompt, {1, 0, 0, 0})}, options, {}), {}, options);
  EXPECT_EQ(rewards_of(groups[0]), (Doubles{1, 0, 0, 0, 1}));
}

TEST(Smoothing, invalid_members_have_no_part_in_the_mean) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.when = InjectWhen::kAlways;
  options.mode = InjectMode::kAppend;
  options.smoothing = true;
  RolloutGroup group = make_group(prompt, {1, 0, 0});
  group.members[2].verdict.status = VerdictStatus::kError;
  EXPECT_EQ(inject_and_smooth(group, options).members[3].reward(), 0.5);
}

TEST(Smoothing, a_mixed_group_is_rescaled_by_its_extra_member) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.when = InjectWhen::kAlways;
  options.mode = InjectMode::kAppend;
  options.smoothing = true;
  AlgorithmOptions algorithm;
  algorithm.std_eps = 0;
  const RolloutGroup plain = make_group(prompt, {1, 0, 0, 0, 0, 0, 0, 0});
  const auto before = estimate({plain}, algorithm, {});
  const auto after = estimate({inject_and_smooth(plain, options)}, algorithm, options);
  // Mean and sum of squares stay, the divisor goes from 7 to 8. In a mean over sequences 9 members
  // then share what 8 had: 0.95 in all.
  const double factor = after[0].members[0].advantage() / before[0].members[0].advantage();
  EXPECT_NEAR(factor, std::sqrt(8.0 / 7.0), 1e-14);
  EXPECT_NEAR(factor * 8 / 9, 0.95, 0.001);
}

TEST(Validate, meaningless_combinations_are_refused_with_a_remedy) {
  InjectionOptions options;
  options.gt_shape = GtShape::kPhi;
  EXPECT_NO_THROW(validate(options, 8));
  options.gt_old_logprob = GtOldLogprob::kOne;
  EXPECT_EQ(message_of([&] { validate(options, 8); }),
            "injection.gt_shape is phi and injection.gt_old_logprob is one: shaping weighs the "
            "gradient itself, so it needs current_detached (ratio 1); change one of the two");
  EXPECT_THROW(validate(options, 8), core::UserError);
  options = {};
  EXPECT_EQ(message_of([&] { validate(options, 1); }),
            "rollout.group_size is 1 and injection.mode is replace: the ground truth would stand "
            "alone and carry no signal; raise rollout.group_size, or set injection.mode: append or "
            "injection.when: never");
  options.mode = InjectMode::kAppend;
  EXPECT_NO_THROW(validate(options, 1));
  options = {};
  options.when = InjectWhen::kNever;
  EXPECT_NO_THROW(validate(options, 1));
  options.gt_template = "<answer>{ground truth}</answer>";
  EXPECT_EQ(message_of([&] { validate(options, 8); }),
            "injection.gt_template is '<answer>{ground truth}</answer>', expected a text with "
            "{ground_truth} in it");
}

TEST(Inject, a_beaten_ground_truth_is_warned_about_once) {
  const auto prompt = make_prompt();
  std::vector<std::string> messages;
  core::set_log_sink([&](core::LogLevel, const std::string& text) { messages.push_back(text); });
  for (int repeat = 0; repeat < 3; ++repeat) inject_one(make_group(prompt, {3.5, 0}, 4), {});
  core::set_log_sink(nullptr);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_NE(messages[0].find("a sampled member of prompt 4 has reward 3.5"), std::string::npos)
      << messages[0];
}

TEST(Inject, a_second_injection_is_a_broken_contract) {
  const auto prompt = make_prompt();
  InjectionOptions options;
  options.when = InjectWhen::kAlways;
  options.mode = InjectMode::kAppend;
  const RolloutGroup group = inject_one(make_group(prompt, {0, 0}), options);
  EXPECT_THROW(inject_one(group, options), core::ContractError);
}

}  // namespace
}  // namespace sgrpo::algorithm
