// Item-level credit and the ratio of items, against numbers worked out by hand.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/rows.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

/// A list of one-letter items: "a\nb\n", a token an item, a token a line end, then the end token.
GroupMember list_of(const Doubles& rewards, FinishReason reason = FinishReason::kStop) {
  GroupMember member;
  for (size_t k = 0; k < rewards.size(); ++k) {
    const auto begin = static_cast<int64_t>(2 * k);
    member.completion.text += "a\n";
    member.completion.token_ends.push_back(begin + 1);
    member.completion.token_ends.push_back(begin + 2);
    member.verdict.items.push_back({.span = {begin, begin + 1}, .reward = rewards[k]});
  }
  member.completion.token_ends.push_back(static_cast<int64_t>(2 * rewards.size()));
  member.completion.token_ids.assign(2 * rewards.size() + 1, 5);
  member.completion.finish_reason = reason;
  return member;
}

RolloutGroup lists(const std::vector<Doubles>& rewards) {
  RolloutGroup group;
  group.prompt = make_prompt();
  for (const Doubles& own : rewards) group.members.push_back(list_of(own));
  return group;
}

AlgorithmOptions rank_options(const core::Json& params = core::Json::object()) {
  AlgorithmOptions options;
  options.estimator = "rank_grpo";
  options.std = RewardScale::kNone;
  options.params["estimator"] = params;
  return options;
}

/// Per member the advantages of its tokens.
std::vector<Doubles> credited(RolloutGroup group, const AlgorithmOptions& options) {
  InjectionOptions injection;
  injection.when = InjectWhen::kNever;
  std::vector<Doubles> result;
  const auto groups = estimate({std::move(group)}, options, injection);
  for (const GroupMember& member : groups[0].members) result.push_back(member.advantages);
  return result;
}

void expect_rows(const std::vector<Doubles>& got, const std::vector<Doubles>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].size(), expected[i].size()) << i;
    for (size_t t = 0; t < got[i].size(); ++t)
      EXPECT_NEAR(got[i][t], expected[i][t], 1e-9) << i << ", " << t;
  }
}

TEST(RankGrpo, each_rank_is_compared_with_the_same_rank_of_the_group) {
  expect_rows(
      credited(lists({{1, 0}, {0, 0}, {0, 1}}), rank_options()),
      {{2.0 / 3, 0, -1.0 / 3, 0, 0}, {-1.0 / 3, 0, -1.0 / 3, 0, 0}, {-1.0 / 3, 0, 2.0 / 3, 0, 0}});
  AlgorithmOptions scaled = rank_options();
  scaled.std = RewardScale::kSample;
  scaled.std_eps = 0.0;
  // sample deviation of (1, 0, 0) is 0.5773502692
  EXPECT_NEAR(credited(lists({{1, 0}, {0, 0}, {0, 1}}), scaled)[0][0], 1.1547005384, 1e-9);
}

// Credits of rank 1, 2, 3 for hits (1, 0, 1): 1 + 1 / log2 4 = 1.5, 0.5, 0.5; for (0, 1, 0):
// 1 / log2 3 = 0.6309297536 twice, then 0.
TEST(RankGrpo, a_suffix_credits_an_item_with_what_follows) {
  const double b = 0.6309297536;
  expect_rows(credited(lists({{1, 0, 1}, {0, 1, 0}}), rank_options({{"credit", "suffix"}})),
              {{(1.5 - b) / 2, 0, (0.5 - b) / 2, 0, 0.25, 0, 0},
               {(b - 1.5) / 2, 0, (b - 0.5) / 2, 0, -0.25, 0, 0}});
}

TEST(RankGrpo, permuting_the_tail_leaves_earlier_credit_unchanged) {
  const Doubles other = {0, 1, 0, 0};
  const auto before = credited(lists({{1, 0, 1, 0.5}, other}), rank_options());
  const auto after = credited(lists({{1, 0, 0.5, 1}, other}), rank_options());
  for (size_t t = 0; t < 4; ++t) EXPECT_EQ(before[0][t], after[0][t]);
  EXPECT_NE(before[0][4], after[0][4]);
  // With suffixes it is the head: what earlier items earned changes nothing behind them.
  const auto suffix = rank_options({{"credit", "suffix"}});
  const auto head = credited(lists({{1, 0, 1, 0.5}, other}), suffix);
  const auto swapped = credited(lists({{0, 1, 1, 0.5}, other}), suffix);
  for (size_t t = 4; t < 8; ++t) EXPECT_EQ(head[0][t], swapped[0][t]);
  EXPECT_NE(head[0][2], swapped[0][2]);
}

TEST(RankGrpo, a_rank_that_one_member_reaches_has_no_advantage) {
  expect_rows(credited(lists({{1, 1}, {0}}), rank_options()), {{0.5, 0, 0, 0, 0}, {-0.5, 0, 0}});
}

TEST(RankGrpo, members_without_a_verdict_or_a_list_take_no_part) {
  RolloutGroup group = lists({{1}, {0}, {1}});
  group.members[2].verdict.status = VerdictStatus::kTimeout;
  group.members.push_back(make_member(0.0, 2));
  expect_rows(credited(group, rank_options()), {{0.5, 0, 0}, {-0.5, 0, 0}, {0, 0, 0}, {0, 0}});
  group.members[3] = make_member(1.0, 2);
  EXPECT_EQ(message_of([&] { credited(group, rank_options()); }),
            "algorithm.estimator is rank_grpo, which credits the items of a list, but a correct "
            "completion of prompt 0 has none: expected verifier ranked_list, or another that gives "
            "items");
}

TEST(RankGrpo, the_length_of_a_list_is_shaped_where_it_is_known) {
  const core::Json params = {
      {"list_length", 2}, {"overflow_penalty", 0.3}, {"early_penalty", 0.2}, {"end_reward", 0.1}};
  RolloutGroup group = lists({{1, 0, 1}, {0}, {0, 0}});
  group.members.push_back(list_of({1}, FinishReason::kLength));
  // rank 1: mean 0.5; rank 2: two reach it with 0
  expect_rows(credited(group, rank_options(params)),
              {{0.5, 0, 0, 0, -0.3, 0, 0}, {-0.5, 0, -0.2}, {-0.5, 0, 0, 0, 0.1}, {0.5, 0, 0}});
}

TEST(RankGrpo, what_it_does_not_know_is_refused) {
  EXPECT_EQ(message_of([] {
              make_estimator(rank_options({{"credit", "all"}}));
            }),
            "algorithm.params.estimator.credit is 'all', expected own or suffix");
  AlgorithmOptions batch = rank_options();
  batch.std = RewardScale::kBatch;
  EXPECT_NE(message_of([&] { make_estimator(batch); }), "");
  EXPECT_FALSE(reads_rewards_alone(rank_options()));
}

TEST(RankGrpo, rows_say_which_item_a_token_belongs_to) {
  const auto rows = rows_of({lists({{1, 0}})});
  std::vector<int64_t> units;
  for (const Decision& decision : rows[0].decisions) units.push_back(decision.unit);
  EXPECT_EQ(units, (std::vector<int64_t>{0, -1, 1, -1, -1}));
}

/// Tokens with these ratios, one advantage, and their items.
LossCase with_items(const Doubles& ratios, const std::vector<int64_t>& units, double advantage) {
  LossCase loss_case = make_loss_case({with_ratios(ratios, advantage)});
  loss_case.batch.unit = at::tensor(units, at::kLong);
  return loss_case;
}

// Items (1.2, 0.9) and (1.1): geometric means sqrt(1.08) = 1.0392304845 and 1.1; the token between
// them keeps 0.8.
TEST(Rank, an_items_ratio_is_the_geometric_mean_of_its_tokens) {
  const LossSettings settings = settings_for("rank");
  const LossCase loss_case = with_items({1.2, 0.9, 0.8, 1.1}, {0, 0, -1, 1}, 1.0);
  const double s = 1.0392304845;
  EXPECT_NEAR(loss_of(loss_case, settings).loss.item<double>(), -(2 * s + 0.8 + 1.1) / 4, 1e-9);
  const Doubles slopes = gradient_values(loss_case, settings);
  const Doubles expected = {-s / 4, -s / 4, -0.8 / 4, -1.1 / 4};
  for (size_t t = 0; t < 4; ++t) EXPECT_NEAR(slopes[t], expected[t], 1e-9);
}

TEST(Rank, an_item_outside_the_range_is_clipped_as_a_whole) {
  const LossCase loss_case = with_items({1.5, 1.1, 1.1}, {0, 0, 1}, 1.0);  // sqrt(1.65) = 1.2845
  const LossSettings settings = settings_for("rank");
  const Doubles slopes = gradient_values(loss_case, settings);
  EXPECT_EQ(slopes[0], 0.0);
  EXPECT_EQ(slopes[1], 0.0);
  EXPECT_NEAR(slopes[2], -1.1 / 3, 1e-9);
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kClipHigh), 2);
}

TEST(Rank, equal_numbers_in_two_sequences_are_two_items) {
  LossCase loss_case = make_loss_case({with_ratios({1.1}, 1.0), with_ratios({0.9}, 1.0)});
  loss_case.batch.unit = at::tensor({0, 0}, at::kLong);
  EXPECT_NEAR(loss_of(loss_case, settings_for("rank")).loss.item<double>(), -1.0, 1e-12);
  EXPECT_EQ(gradient_values(loss_case, settings_for("rank")),
            gradient_values(loss_case, settings_for("clipped")));
}

TEST(Rank, without_items_it_is_the_clipped_loss) {
  LossCase loss_case = make_loss_case({with_ratios({1.5, 0.9}, 1.0), with_ratios({0.5}, -2.0)});
  const Doubles expected = gradient_values(loss_case, settings_for("clipped"));
  EXPECT_EQ(gradient_values(loss_case, settings_for("rank")), expected);
  loss_case.batch.unit = at::full({3}, -1, at::kLong);
  EXPECT_EQ(gradient_values(loss_case, settings_for("rank")), expected);
}

}  // namespace
}  // namespace sgrpo::algorithm
