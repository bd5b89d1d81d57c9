// Advantages, injection and losses against rows that a plain-Python float64 reference computed.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

/// Relative to the row's largest value: a difference of nearly equal numbers has no digits of its
/// own. 1e-12 = 4,500 ulps, room for another order of summation of at most 17 terms and for exp.
void expect_close(const Doubles& got, const Doubles& expected, const std::string& where) {
  ASSERT_EQ(got.size(), expected.size()) << where;
  double scale = 0.0;
  for (const double value : expected) scale = std::max(scale, std::abs(value));
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], expected[i], 1e-12 * scale) << where << ", entry " << i;
  }
}

Doubles to_vector(const at::Tensor& values) {
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

TEST(Golden, advantages_match_every_row) {
  const auto prompt = make_prompt();
  const auto rows = golden_rows("advantages.jsonl");
  ASSERT_EQ(rows.size(), 63u);
  for (const core::Json& row : rows) {
    AlgorithmOptions options;
    options.std = core::from_name<RewardScale>(row["std"].get<std::string>()).value();
    options.std_eps = row["eps"].get<double>();
    const auto groups = estimate({make_group(prompt, row["rewards"].get<Doubles>())}, options, {});
    expect_close(advantages_of(groups[0]), row["advantages"].get<Doubles>(), row.dump());
  }
}

std::vector<int64_t> members_of(const RolloutGroup& group) {
  std::vector<int64_t> indices;
  for (const GroupMember& member : group.members) {
    indices.push_back(member.completion.sample_index);
  }
  return indices;
}

TEST(Golden, injection_matches_every_row) {
  const auto prompt = make_prompt();
  const auto rows = golden_rows("injection.jsonl");
  ASSERT_EQ(rows.size(), 60u);
  int64_t compared = 0;
  for (const core::Json& row : rows) {
    InjectionOptions options;
    options.mode = core::from_name<InjectMode>(row["mode"].get<std::string>()).value();
    options.victim = core::from_name<Victim>(row["victim"].get<std::string>()).value();
    RolloutGroup group = make_group(prompt, row["rewards"].get<Doubles>());
    const auto scores = row["sum_logprobs"].get<Doubles>();
    for (size_t i = 0; i < scores.size(); ++i) {
      group.members[i].completion.sampler_logprobs = {static_cast<float>(scores[i]), 0.0f};
    }
    if (options.mode == InjectMode::kReplace && group.size() == 1) {
      EXPECT_THROW(inject_ground_truth({group}, options, {}), core::UserError) << row.dump();
      continue;
    }
    // The row draws its random victim from `u`, the program from a key.
    if (options.victim == Victim::kRandom) continue;
    ++compared;
    auto groups = inject_ground_truth({group}, options, {});
    EXPECT_EQ(members_of(groups[0]), row["members"].get<std::vector<int64_t>>()) << row.dump();
    EXPECT_EQ(rewards_of(groups[0]), row["rewards_after"].get<Doubles>()) << row.dump();
    if (groups[0].size() == 1) continue;
    for (const std::string std : {"sample", "population", "none"}) {
      AlgorithmOptions algorithm;
      algorithm.std = core::from_name<RewardScale>(std).value();
      groups = estimate(std::move(groups), algorithm, options);
      expect_close(advantages_of(groups[0]), row["advantages"][std].get<Doubles>(), row.dump());
    }
  }
  EXPECT_EQ(compared, 39);
}

LossSettings settings_of_row(const core::Json& row) {
  const std::string aggregation = row["aggregation"].get<std::string>();
  LossSettings settings;
  AlgorithmOptions& options = settings.algorithm;
  options.clip_low = row["clip_low"].get<double>();
  options.clip_high = row["clip_high"].get<double>();
  options.kl_coef = row["kl_coef"].get<double>();
  if (options.kl_coef > 0)
    options.kl_estimator = core::from_name<KlEstimator>(row["kl"].get<std::string>()).value();
  options.aggregation = Aggregation::kTokenMean;
  if (aggregation == "sequence_mean_token_mean")
    options.aggregation = Aggregation::kSeqMeanTokenMean;
  if (aggregation == "sequence_sum_constant")
    options.aggregation = Aggregation::kSeqMeanTokenSumConst;
  settings.aggregation_constant = row["constant"].get<double>();
  return settings;
}

TEST(Golden, losses_gradients_and_metrics_match_every_row) {
  const auto rows = golden_rows("losses.jsonl");
  ASSERT_EQ(rows.size(), 42u);
  for (const core::Json& row : rows) {
    std::vector<reference::Sequence> sequences;
    Doubles gradient;
    for (size_t b = 0; b < row["logps"].size(); ++b) {
      const auto policy = row["logps"][b].get<Doubles>();
      sequences.push_back({.policy = policy,
                           .old = row["olds"][b].get<Doubles>(),
                           .ref = row["refs"][b].get<Doubles>(),
                           .entropy = Doubles(policy.size(), 0.0),
                           .advantage = row["advantages"][b].get<double>()});
      const auto part = row["expected"]["gradient"][b].get<Doubles>();
      gradient.insert(gradient.end(), part.begin(), part.end());
    }
    LossCase loss_case = make_loss_case(sequences);
    if (row["kl"] == "none") loss_case.batch.ref_logprobs = at::Tensor();
    const LossResult result = loss_of(loss_case, settings_of_row(row));
    const core::Json& expected = row["expected"];
    const std::string where = row["aggregation"].get<std::string>() + " " +
                              row["kl"].get<std::string>() + " of " + row["logps"].dump();
    // The loss is a sum of terms of order 1 that may cancel (advantages sum to zero).
    const double loss = expected["loss"].get<double>();
    EXPECT_NEAR(result.loss.item<double>(), loss, 1e-12 * std::max(1.0, std::abs(loss))) << where;
    expect_close(to_vector(gradient_of(result, loss_case)), gradient, where);
    const double tokens = stat(result, LossStats::kLossTokens);
    const double low = stat(result, LossStats::kClipLow) / tokens;
    const double high = stat(result, LossStats::kClipHigh) / tokens;
    EXPECT_DOUBLE_EQ(low, expected["clip_ratio/low_mean"].get<double>()) << where;
    EXPECT_DOUBLE_EQ(high, expected["clip_ratio/high_mean"].get<double>()) << where;
    expect_close({stat(result, LossStats::kKl) / tokens}, {expected["kl"].get<double>()}, where);
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
