// Bounded dynamic sampling: which groups ask for another in their place, and where answers go.
#include "sgrpo/algorithm/follow_up.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/core/log.h"

namespace sgrpo::algorithm {
namespace {

using Places = std::vector<size_t>;

std::unique_ptr<FollowUp> zero_spread() {
  return FollowUpRegistry::get("follow-up", "zero_spread")();
}

FollowUpContext context_of(InjectWhen when) {
  FollowUpContext context;
  context.injection.when = when;
  return context;
}

Places asked(const std::vector<RolloutGroup>& groups, const FollowUpContext& context) {
  Places places;
  for (const FollowUpRequest& request : zero_spread()->ask(groups, context))
    places.push_back(request.group);
  return places;
}

std::vector<int64_t> indices_of(const std::vector<RolloutGroup>& groups) {
  std::vector<int64_t> indices;
  for (const RolloutGroup& group : groups) indices.push_back(group.prompt_index);
  return indices;
}

TEST(ZeroSpread, flat_groups_ask_and_what_injection_repairs_is_alive) {
  const auto with = make_prompt(3, {7, 8, 2}), without = make_prompt(3, {});
  const std::vector<RolloutGroup> groups = {make_group(with, {0, 0}),
                                            make_group(with, {1, 1}),
                                            make_group(with, {1, 0}),
                                            make_group(without, {0, 0}),
                                            make_group(without, {0, 0.5})};
  EXPECT_EQ(asked(groups, context_of(InjectWhen::kNever)), (Places{0, 1, 3}));
  EXPECT_EQ(asked(groups, context_of(InjectWhen::kAllFail)), (Places{1, 3}));
  FollowUpContext warming = context_of(InjectWhen::kAllFail);
  warming.injection.warmup_steps = 5;
  warming.injection_context.step = 5;
  EXPECT_EQ(asked(groups, warming), (Places{0, 1, 3}));
  warming.injection_context.step = 6;
  EXPECT_EQ(asked(groups, warming), (Places{1, 3}));
}

TEST(ZeroSpread, the_rewards_that_count_are_those_with_the_injected_one_in_place) {
  const auto prompt = make_prompt(3, {7, 8, 2});
  FollowUpContext context = context_of(InjectWhen::kAllFail);
  context.injection.gt_reward = 0.2;
  // Replaced, the victim's 0 is gone: 0.2 and 0.2 are left. Appended, it stays beside them.
  RolloutGroup group = make_group(prompt, {0, 0.2});
  for (GroupMember& member : group.members) member.verdict.status = VerdictStatus::kIncorrect;
  group.members[0].completion.sampler_logprobs = {-5, -5};
  EXPECT_EQ(asked({group}, context), (Places{0}));
  context.injection.mode = InjectMode::kAppend;
  EXPECT_EQ(asked({group}, context), Places{});
  context.min_spread = 0.3;
  EXPECT_EQ(asked({group}, context), (Places{0}));
}

TEST(ZeroSpread, a_group_that_nobody_could_judge_asks) {
  RolloutGroup group = make_group(make_prompt(3, {7, 8, 2}), {0, 1});
  for (GroupMember& member : group.members) member.verdict.status = VerdictStatus::kTimeout;
  EXPECT_EQ(asked({group}, context_of(InjectWhen::kAlways)), (Places{0}));
}

TEST(ZeroSpread, answers_take_the_place_of_their_group_and_the_rest_leaves_at_the_bound) {
  const auto prompt = make_prompt(3, {7, 8, 2});
  FollowedGroups step;
  for (int64_t i = 0; i < 4; ++i) {
    step.groups.push_back(make_group(prompt, {1, 1}));
    step.groups.back().prompt_index = i;
  }
  RolloutGroup fresh = make_group(prompt, {0, 1});
  fresh.prompt_index = 9;
  step = zero_spread()->place(std::move(step), {{.request = {.group = 1}, .group = fresh}});
  EXPECT_EQ(indices_of(step.groups), (std::vector<int64_t>{0, 9, 2, 3}));
  EXPECT_EQ(indices_of(step.dropped), (std::vector<int64_t>{1}));
  step = zero_spread()->place(std::move(step),
                              {{.request = {.group = 0}, .group = std::nullopt},
                               {.request = {.group = 3}, .group = std::nullopt}});
  EXPECT_EQ(indices_of(step.groups), (std::vector<int64_t>{9, 2}));
  EXPECT_EQ(indices_of(step.dropped), (std::vector<int64_t>{1, 0, 3}));
}

}  // namespace
}  // namespace sgrpo::algorithm
