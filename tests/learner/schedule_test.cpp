#include "learner/schedule.h"

#include <gtest/gtest.h>

#include "learner/table_policy.h"

namespace sgrpo::learner {
namespace {

using Numbers = std::vector<int64_t>;

StepPart part_of(std::vector<TrainRow> rows) {
  StepPart part;
  part.rows = std::move(rows);
  return part;
}

Schedule schedule_of(const std::vector<StepPart>& parts, int64_t minibatches = 1) {
  const auto local = distributed::make_local();
  return make_schedule(parts, minibatches, *local);
}

Numbers groups_in(const Share& share) {
  Numbers groups;
  for (const TrainRow& row : share.rows) {
    if (groups.empty() || groups.back() != row.group) groups.push_back(row.group);
  }
  return groups;
}

Numbers numbers_of(const Denominators& denominators) {
  return {denominators.decisions, denominators.sequences, denominators.groups};
}

/// Group 0 has no advantage, group 1 has one.
std::vector<TrainRow> dead_and_alive() {
  return {make_row({0, 1}, 0, 0),
          make_row({0}, 0, 0),
          make_row({0, 1, 2}, 0.5f, 1),
          make_row({1}, 0, 1)};
}

TEST(Schedule, groups_without_advantage_are_left_out_and_counted) {
  const Schedule schedule = schedule_of({part_of(dead_and_alive())});
  const Share& share = schedule.shares[0][0];
  EXPECT_TRUE(schedule.has_signal);
  EXPECT_EQ(groups_in(share), Numbers{1});
  EXPECT_EQ(share.rows.size(), 2u);  // a group is taken whole
  EXPECT_EQ(numbers_of(share.denominators), (Numbers{7, 4, 2}));
  const Schedule dead = schedule_of({part_of({make_row({0}, 0, 0), make_row({1}, 0, 0)})});
  EXPECT_FALSE(dead.has_signal);
  EXPECT_TRUE(dead.shares[0][0].rows.empty());
}

TEST(Schedule, what_is_counted_over_all_tokens_leaves_no_group_out) {
  for (const bool by_option : {true, false}) {
    const auto wanting = [&](std::vector<TrainRow> rows) {
      StepPart part = part_of(std::move(rows));
      if (by_option) part.loss.algorithm.top_entropy_quantile = 0.2;
      if (!by_option) part.loss.algorithm.loss = "kl_cov";
      return part;
    };
    const Schedule schedule = schedule_of({wanting(dead_and_alive())});
    EXPECT_EQ(groups_in(schedule.shares[0][0]), (Numbers{0, 1}));
    EXPECT_EQ(schedule.shares[0][0].left_out, 0);
    EXPECT_FALSE(schedule_of({wanting({make_row({0}, 0, 0)})}).has_signal)
        << "and yet nothing would change";
  }
}

TEST(Schedule, an_advantage_without_weight_is_no_signal) {
  TrainRow row = make_row({0, 1}, 1, 0);
  row.decisions[0].weight = 0;
  EXPECT_EQ(numbers_of(schedule_of({part_of({row})}).shares[0][0].denominators),
            (Numbers{1, 1, 1}));
  row.decisions[1].weight = 0;
  const Schedule schedule = schedule_of({part_of({row, make_row({0}, 0, 1)})});
  EXPECT_FALSE(schedule.has_signal);
  EXPECT_EQ(numbers_of(schedule.shares[0][0].denominators), (Numbers{1, 1, 1}));
}

TEST(Schedule, what_learns_without_advantages_leaves_nothing_out) {
  StepPart part = part_of(dead_and_alive());
  const auto taken = [&] { return groups_in(schedule_of({part}).shares[0][0]); };
  part.loss.algorithm.kl_coef = 0.1;
  EXPECT_EQ(taken(), (Numbers{0, 1}));
  part.loss.algorithm.kl_place = algorithm::KlPlace::kReward;  // advantages hold it already
  EXPECT_EQ(taken(), (Numbers{1}));
  part.loss.algorithm.entropy_coef = 0.1;
  EXPECT_EQ(taken(), (Numbers{0, 1}));
  part.loss = algorithm::sft_settings({});
  EXPECT_EQ(taken(), (Numbers{0, 1}));
}

// Group i of n goes to optimizer step floor(i * minibatches / n).
TEST(Schedule, groups_go_to_optimizer_steps_by_their_place) {
  std::vector<TrainRow> rows;
  for (int64_t group = 0; group < 5; ++group) {
    rows.push_back(make_row({0}, group == 3 ? 0 : 1, group));
    rows.push_back(make_row({1, 2}, group == 3 ? 0 : -1, group));
  }
  const Schedule two = schedule_of({part_of(rows)}, 2);
  EXPECT_EQ(groups_in(two.shares[0][0]), (Numbers{0, 1, 2}));
  EXPECT_EQ(groups_in(two.shares[1][0]), Numbers{4});  // 3 has its place all the same
  EXPECT_EQ(numbers_of(two.shares[0][0].denominators), (Numbers{9, 6, 3}));
  EXPECT_EQ(numbers_of(two.shares[1][0].denominators), (Numbers{6, 4, 2}));
  const Schedule many = schedule_of({part_of(rows)}, 7);
  const std::vector<Numbers> expected = {{0}, {1}, {2}, {}, {}, {4}, {}};
  for (size_t m = 0; m < 7; ++m) EXPECT_EQ(groups_in(many.shares[m][0]), expected[m]) << m;
  EXPECT_EQ(many.shares[4][0].denominators.groups, 1);  // group 3
  EXPECT_EQ(many.shares[6][0].denominators.groups, 0);
}

TEST(Schedule, a_row_without_a_group_stands_alone) {
  const Schedule schedule =
      schedule_of({part_of({make_row({0}, 1), make_row({0}, 0), make_row({0}, 1)})}, 3);
  for (size_t m = 0; m < 3; ++m) {
    EXPECT_EQ(schedule.shares[m][0].rows.size(), m == 1 ? 0u : 1u) << m;
    EXPECT_EQ(numbers_of(schedule.shares[m][0].denominators), (Numbers{1, 1, 1})) << m;
  }
}

TEST(Schedule, parts_are_dealt_and_counted_apart) {
  StepPart sft = part_of({make_row({0}, 0), make_row({1, 1}, 0)});
  sft.loss = algorithm::sft_settings({});
  const Schedule schedule = schedule_of({part_of(dead_and_alive()), sft}, 2);
  EXPECT_TRUE(schedule.shares[0][0].rows.empty());
  EXPECT_EQ(schedule.shares[0][1].rows.size(), 1u);
  EXPECT_EQ(numbers_of(schedule.shares[0][0].denominators), (Numbers{3, 2, 1}));
  EXPECT_EQ(numbers_of(schedule.shares[1][1].denominators), (Numbers{2, 1, 1}));
}

TEST(Schedule, counts_and_signal_are_those_of_all_ranks) {
  OtherRank ranks({1, 100, 10, 5});  // signal, decisions, sequences, groups
  const Schedule schedule = make_schedule({part_of({make_row({0, 1}, 0, 0)})}, 1, ranks);
  EXPECT_TRUE(schedule.has_signal);
  EXPECT_TRUE(schedule.shares[0][0].rows.empty());
  EXPECT_EQ(numbers_of(schedule.shares[0][0].denominators), (Numbers{102, 11, 6}));
}

}  // namespace
}  // namespace sgrpo::learner
