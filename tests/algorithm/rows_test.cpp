#include "sgrpo/algorithm/rows.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

std::vector<int64_t> labels_of(const TrainRow& row) {
  std::vector<int64_t> labels;
  for (const Decision& decision : row.decisions) labels.push_back(decision.label);
  return labels;
}

TEST(Rows, a_completion_is_read_one_token_ahead_of_what_it_predicts) {
  const auto prompt = make_prompt(3);
  RolloutGroup group;
  group.prompt = prompt;
  group.members = {make_member(1, 3), make_member(0, 1)};
  group.members[0].advantages = {0.5, 0.25, -1.0};
  group.members[0].completion.sampler_logprobs = {-1.5f, -2.5f, -3.5f};
  group.members[0].scores.old_logprobs = {-1, -2, -3};
  group.members[1].scores.ref_logprobs = {-4};
  const auto rows = rows_of({group});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].prompt, prompt);  // shared, so that a policy lays it out once
  EXPECT_EQ(rows[1].prompt, prompt);
  EXPECT_EQ(rows[0].own_ids, (std::vector<int64_t>{10, 11}));
  EXPECT_TRUE(rows[1].own_ids.empty());
  EXPECT_EQ(labels_of(rows[0]), (std::vector<int64_t>{10, 11, 12}));
  EXPECT_EQ(labels_of(rows[1]), (std::vector<int64_t>{10}));
  const auto& decisions = rows[0].decisions;
  for (size_t t = 0; t < 3; ++t) {
    EXPECT_EQ(decisions[t].reads, 2 + static_cast<int64_t>(t));
    EXPECT_EQ(decisions[t].weight, 1.0f);
    EXPECT_EQ(decisions[t].advantage, static_cast<float>(group.members[0].advantages[t]));
    EXPECT_EQ(decisions[t].sampler_logprob, -1.5f - static_cast<float>(t));
    EXPECT_EQ(decisions[t].old_logprob, -1.0f - static_cast<float>(t));
    EXPECT_TRUE(std::isnan(decisions[t].ref_logprob));
    EXPECT_EQ(decisions[t].unit, -1);
  }
  EXPECT_EQ(rows[1].decisions[0].reads, 2);
  EXPECT_EQ(rows[1].decisions[0].advantage, 0.0f);  // no estimator ran
  EXPECT_EQ(rows[1].decisions[0].ref_logprob, -4.0f);
  EXPECT_TRUE(std::isnan(rows[1].decisions[0].old_logprob));
}

TEST(Rows, invalid_members_are_left_out_and_groups_keep_their_number) {
  const auto prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {1, 0, 0});
  group.members[1].verdict.status = VerdictStatus::kTimeout;
  group.members[2].completion.token_ids = {20, 21};
  RolloutGroup lost = make_group(prompt, {0, 0});
  for (GroupMember& member : lost.members) member.verdict.status = VerdictStatus::kError;
  const auto rows = rows_of({lost, group});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].group, 1);
  EXPECT_EQ(rows[1].group, 1);
  EXPECT_EQ(labels_of(rows[1]), (std::vector<int64_t>{20, 21}));
  EXPECT_TRUE(rows_of({lost}).empty());
}

TEST(Rows, injected_members_are_marked_and_have_no_sampler_logprobs) {
  const auto prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {0, 0});
  group.members[1].completion.origin = Origin::kGroundTruth;
  group.members[1].completion.sampler_logprobs.clear();
  const auto rows = rows_of({group});
  EXPECT_EQ(rows[0].origin, Origin::kSampled);
  EXPECT_EQ(rows[1].origin, Origin::kGroundTruth);
  for (const Decision& decision : rows[1].decisions)
    EXPECT_TRUE(std::isnan(decision.sampler_logprob));
}

TEST(Rows, an_empty_completion_is_refused) {
  RolloutGroup group = make_group(make_prompt(), {0, 1}, 12);
  group.members[1].completion.token_ids.clear();
  const std::string message = message_of([&] { rows_of({group}); });
  EXPECT_NE(message.find("prompt 12: a completion has no tokens"), std::string::npos) << message;
}

TEST(SetScores, go_to_the_members_that_the_rows_came_from) {
  std::vector<RolloutGroup> groups = {make_group(make_prompt(), {1, 0}),
                                      make_group(make_prompt(), {0, 0})};
  groups[0].members[0].verdict.status = VerdictStatus::kError;  // gives no row
  set_scores(groups, {{-1, -2}, {-3, -4}, {-5, -6}}, ScoreKind::kReference);
  set_scores(groups, {{-7, -7}, {-8, -8}, {-9, -9}}, ScoreKind::kOld);
  EXPECT_TRUE(groups[0].members[0].scores.ref_logprobs.empty());
  EXPECT_EQ(groups[0].members[1].scores.ref_logprobs, (std::vector<float>{-1, -2}));
  EXPECT_EQ(groups[1].members[1].scores.ref_logprobs, (std::vector<float>{-5, -6}));
  EXPECT_EQ(groups[1].members[0].scores.old_logprobs, (std::vector<float>{-8, -8}));
  set_scores(groups, {{-1, -1}, {-2, -2}, {-3, -3}}, ScoreKind::kSampler);
  EXPECT_EQ(groups[1].members[0].completion.sampler_logprobs, (std::vector<float>{-2, -2}));
  const std::string message = message_of([&] {
    set_scores(groups, {{-1, -2}, {-3}}, ScoreKind::kOld);
  });
  EXPECT_NE(message.find("scores of other rows"), std::string::npos) << message;
}

}  // namespace
}  // namespace sgrpo::algorithm
