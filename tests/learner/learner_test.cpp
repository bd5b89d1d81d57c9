#include "sgrpo/learner/learner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "learner/table_policy.h"
#include "sgrpo/core/error.h"

namespace sgrpo::learner {
namespace {

/// A learner over a table of three arms, and what looks into it.
struct Bench {
  explicit Bench(const TableOptions& table = {},
                 int64_t budget_tokens = 100,
                 std::unique_ptr<distributed::Communicator> ranks = distributed::make_local())
      : communicator(std::move(ranks)) {
    auto owned = std::make_unique<TablePolicy>(table);
    policy = owned.get();
    learner = std::make_unique<Learner>(std::move(owned),
                                        optim::OptimOptions{},
                                        policy::Budget{.tokens = budget_tokens},
                                        *communicator);
  }
  at::Tensor gradient() const { return policy->weight().grad(); }

  std::unique_ptr<distributed::Communicator> communicator;
  TablePolicy* policy = nullptr;
  std::unique_ptr<Learner> learner;
};

StepPart part_with(std::vector<TrainRow> rows) {
  StepPart part;
  part.rows = std::move(rows);
  return part;
}

UpdateContext at_lr(double lr) { return {.lr = lr}; }

/// Arm 0 earned 1, arm 1 earned -1: the gradient of -(A0 log p0 + A1 log p1) /
/// 2 is (-1/2, 1/2, 0).
std::vector<TrainRow> two_rows() { return {make_row({0}, 1, 0), make_row({1}, -1, 0)}; }

void expect_near(const at::Tensor& got, const std::vector<float>& expected) {
  EXPECT_LT((got.detach() - at::tensor(expected)).abs().max().item<double>(), 1e-6) << got;
}

template <class Body>
std::string thrown_by(const Body& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(Learner, accumulates_the_gradient_whatever_the_passes) {
  for (const int64_t budget : {1, 100}) {
    Bench bench({}, budget);
    const PartReport report = bench.learner->accumulate(part_with(two_rows()), {});
    expect_near(bench.gradient(), {-0.5f, 0.5f, 0});
    EXPECT_EQ(report.at(algorithm::LossStats::kLossTokens), 2);
    EXPECT_EQ(bench.policy->num_passes, budget == 1 ? 2 : 1);
    StepPart half = part_with(two_rows());
    half.weight = 0.5;
    bench.learner->accumulate(half, {});
    expect_near(bench.gradient(), {-0.75f, 0.75f, 0});
    EXPECT_TRUE(bench.learner->is_pending());
  }
}

/// Two rows whose old log-probs are 0.1 lower than what arms of logits (1, 0, 0) have.
std::vector<TrainRow> moved_rows() {
  std::vector<TrainRow> rows = {make_row({0, 1}, 1, 0), make_row({1, 2}, -1, 0)};
  const float highest = -0.551445f, lowest = -1.551445f;
  for (TrainRow& row : rows) {
    for (Decision& decision : row.decisions)
      decision.old_logprob = (decision.label == 0 ? highest : lowest) - 0.1f;
  }
  return rows;
}

// kl_cov holds one of all four tokens, the largest covariance: arm 0 of the first row. By passes it
// would be one a pass.
TEST(Learner, what_a_loss_knows_of_a_step_is_of_all_passes) {
  at::Tensor whole;
  for (const int64_t budget : {100, 1}) {
    Bench bench({.logits = {1, 0, 0}}, budget);
    StepPart part = part_with(moved_rows());
    part.loss.algorithm.loss = "kl_cov";
    bench.learner->accumulate(part, {});
    if (budget == 100) whole = bench.gradient().clone();
    EXPECT_LT((bench.gradient() - whole).abs().max().item<double>(), 1e-6);
    EXPECT_EQ(bench.policy->num_passes, budget == 100 ? 2 : 4) << "one more, without gradient";
  }
  Bench bench({.logits = {1, 0, 0}});
  StepPart part = part_with(moved_rows());
  part.loss.algorithm.loss = "kl_cov";
  part.loss.algorithm.params["loss"] = {{"share", 1.0}};
  bench.learner->accumulate(part, {});
  EXPECT_GT((bench.gradient() - whole).abs().max().item<double>(), 0.01);
}

/// The other rank has one token, of this entropy.
class HighEntropyElsewhere final : public OtherRank {
 public:
  explicit HighEntropyElsewhere(double entropy)
      : OtherRank(std::vector<double>(16, 0.0)), entropy_(entropy) {}
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    return {bytes, std::string(reinterpret_cast<const char*>(&entropy_), sizeof entropy_)};
  }

 private:
  double entropy_;
};

TEST(Learner, what_a_loss_knows_of_a_step_is_of_all_ranks) {
  for (const double elsewhere : {0.1, 9.0}) {
    Bench bench({}, 100, std::make_unique<HighEntropyElsewhere>(elsewhere));
    StepPart part = part_with(two_rows());
    part.loss.algorithm.top_entropy_quantile = 0.0;  // the highest entropy of all ranks alone
    bench.learner->accumulate(part, {});
    EXPECT_EQ(bench.gradient().abs().max().item<double>() > 0, elsewhere < 1);
  }
}

TEST(Learner, an_update_is_accumulate_and_apply) {
  Bench whole, halves;
  const UpdateReport report = whole.learner->update({part_with(two_rows())}, {}, at_lr(0.1));
  halves.learner->accumulate(part_with(two_rows()), {});
  const ApplyReport applied = halves.learner->apply(0.1);
  EXPECT_TRUE(whole.policy->weight().equal(halves.policy->weight()));
  expect_near(whole.policy->weight(), {0.1f, -0.1f, 0});  // Adam's first step has the size of lr
  EXPECT_EQ(report.updates, 1);
  EXPECT_NEAR(report.grad_norm_sum, std::sqrt(0.5), 1e-6);
  EXPECT_EQ(report.grad_norm_sum, applied.grad_norm);
  EXPECT_EQ(whole.learner->num_updates(), 1);
  EXPECT_FALSE(whole.learner->is_pending());
}

TEST(Learner, groups_left_out_count_in_every_denominator) {
  Bench bench;
  auto rows = two_rows();
  rows.push_back(make_row({2, 2}, 0, 1));
  const UpdateReport report = bench.learner->update({part_with(rows)}, {}, at_lr(0.1));
  EXPECT_NEAR(report.grad_norm_sum, std::sqrt(0.125),
              1e-6);  // four decisions, not two
  EXPECT_EQ(report.parts[0].at(algorithm::LossStats::kLossTokens), 4) << "shares are of all tokens";
  EXPECT_EQ(report.parts[0].at(algorithm::LossStats::kSampledTokens), 2)
      << "the mean KL is of what was scored";
}

TEST(Learner, a_step_without_signal_changes_and_counts_nothing) {
  Bench bench;
  const UpdateReport report =
      bench.learner->update({part_with({make_row({0}, 0, 0)})}, {}, at_lr(0.1));
  EXPECT_FALSE(report.had_signal);
  EXPECT_EQ(report.updates, 0);
  EXPECT_EQ(bench.policy->num_passes, 0);
  EXPECT_EQ(bench.learner->num_updates(), 0);
  expect_near(bench.policy->weight(), {0, 0, 0});
}

TEST(Learner, the_ratio_of_a_single_update_is_one_whatever_its_rows_were_scored_by) {
  auto rows = two_rows();
  for (TrainRow& row : rows) row.decisions[0].old_logprob = -1.0986f;  // log(1/3), almost
  Bench bench;
  const UpdateReport one = bench.learner->update({part_with(rows)}, {}, at_lr(0.1));
  EXPECT_EQ(one.parts[0].at(algorithm::LossStats::kAbsAdvantageRatio), 2.0);
  Bench again;  // several updates keep what was scored: the first one's ratio is not quite 1
  const UpdateReport two =
      again.learner->update({part_with(rows)}, {.epochs = 2, .minibatches = 1}, at_lr(0.0));
  EXPECT_NE(two.parts[0].at(algorithm::LossStats::kAbsAdvantageRatio), 4.0);
  EXPECT_NEAR(two.parts[0].at(algorithm::LossStats::kAbsAdvantageRatio), 4.0, 1e-3);
}

// The second epoch's ratio is p_new / p_old with logits (0.1, -0.1, -0.1)
// against (0, 0, 0).
TEST(Learner, old_logprobs_are_those_of_the_rollout_policy) {
  Bench bench;
  const UpdateReport report = bench.learner->update(
      {part_with({make_row({0}, 1, 0)})}, {.epochs = 2, .minibatches = 1}, at_lr(0.1));
  const double ratio = 3 * std::exp(0.1) / (std::exp(0.1) + 2 * std::exp(-0.1));
  EXPECT_NEAR(report.parts[0].at(algorithm::LossStats::kAbsAdvantageRatio), 1 + ratio, 1e-5);
  EXPECT_EQ(report.updates, 2);
}

TEST(Learner, a_non_finite_loss_or_gradient_changes_nothing_and_is_counted) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const bool is_loss : {true, false}) {
    Bench bench({.has_broken_gradient = !is_loss});
    const auto rows = is_loss ? std::vector{make_row({0}, infinity, 0)} : two_rows();
    const UpdateReport report = bench.learner->update({part_with(rows)}, {}, at_lr(0.1));
    EXPECT_EQ(report.updates, 1) << is_loss;
    EXPECT_EQ(report.skipped, 1) << is_loss;
    EXPECT_EQ(report.grad_norm_sum, 0.0) << is_loss;
    EXPECT_EQ(bench.learner->num_updates(), 0) << is_loss;
    EXPECT_TRUE(bench.policy->weight().equal(at::zeros({3}))) << is_loss;
    if (!is_loss) continue;
    bench.learner->update({part_with(two_rows())}, {},
                          at_lr(0.1));  // and the next one works
    expect_near(bench.policy->weight(), {0.1f, -0.1f, 0});
  }
}

TEST(Learner, a_non_finite_loss_of_another_rank_leaves_the_update_out_here) {
  Bench bench({}, 100, std::make_unique<OtherRank>(std::vector<double>{1, 0, 0, 0}));
  bench.learner->accumulate(part_with(two_rows()), {});
  EXPECT_TRUE(bench.learner->apply(0.1).skipped);
  EXPECT_TRUE(bench.policy->weight().equal(at::zeros({3})));
}

TEST(Learner, rows_that_lead_to_no_parameter_contribute_nothing) {
  Bench bench({.trains_on_images_only = true}, 1);
  const PartReport report =
      bench.learner->accumulate(part_with({make_row({0}, 1, 0, 1), make_row({1}, -1, 1, 0)}), {});
  expect_near(bench.gradient(), {-1.0f / 3, 1.0f / 6, 1.0f / 6});  // half of p - (1, 0, 0)
  EXPECT_EQ(report.at(algorithm::LossStats::kLossTokens), 2);
  Bench text({.trains_on_images_only = true});
  EXPECT_EQ(text.learner->update({part_with(two_rows())}, {}, at_lr(0.1)).skipped, 0);
  expect_near(text.policy->weight(), {0, 0, 0});
}

TEST(Learner, a_pending_gradient_is_never_saved) {
  Bench bench;
  EXPECT_NE(thrown_by([&] { bench.learner->apply(0.1); }).find("apply without a gradient"),
            std::string::npos);
  bench.learner->accumulate(part_with(two_rows()), {});
  EXPECT_NE(thrown_by([&] {
              bench.learner->state();
            }).find("a learner with a pending gradient is never saved"),
            std::string::npos);
  bench.learner->apply(0.1);
  EXPECT_NO_THROW(bench.learner->state());
}

TEST(Learner, state_holds_moments_and_what_the_folder_rounds) {
  Bench saved, loaded;
  saved.policy->mark_rounded_on_disk();
  saved.learner->update({part_with(two_rows())}, {}, at_lr(0.1));
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& [name, tensor] : saved.learner->state())
    state.emplace_back(name, tensor.clone());
  loaded.learner->load_state("model", state, "run");
  EXPECT_EQ(loaded.learner->num_updates(), 1);
  for (Bench* bench : {&saved, &loaded})
    bench->learner->update({part_with({make_row({2}, 1, 0)})}, {}, at_lr(0.1));
  EXPECT_TRUE(loaded.policy->weight().equal(saved.policy->weight()));
}

TEST(Learner, scores_come_back_in_the_callers_order) {
  Bench bench({.logits = {0, 1, 2}}, 2);
  bench.learner->set_reference(std::make_unique<TablePolicy>(TableOptions{}));
  const std::vector<TrainRow> rows = {
      make_row({2}, 0), make_row({0, 1}, 0), make_row({1}, 0), make_row({0}, 0)};
  const RowScores scores = bench.learner->score(rows, {}, Who::kCurrent);
  const double total = std::log(1 + std::exp(1) + std::exp(2));
  ASSERT_EQ(scores.logprobs.size(), 4u);
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(scores.logprobs[i].size(), rows[i].decisions.size());
    for (size_t t = 0; t < rows[i].decisions.size(); ++t) {
      const auto arm = static_cast<double>(rows[i].decisions[t].label);
      EXPECT_NEAR(scores.logprobs[i][t], arm - total, 1e-6) << i;
      EXPECT_NEAR(
          scores.entropy[i][t], total - (std::exp(1) + 2 * std::exp(2)) / std::exp(total), 1e-6);
    }
  }
  const RowScores reference = bench.learner->score(rows, {}, Who::kReference);
  EXPECT_NEAR(reference.logprobs[1][0], -std::log(3), 1e-6);
}

// k1 = policy - ref, the reference's log p of arm 2 being 2 - log(1 + e + e^2).
TEST(Learner, the_kl_term_compares_with_the_reference) {
  Bench bench;
  bench.learner->set_reference(std::make_unique<TablePolicy>(TableOptions{.logits = {0, 1, 2}}));
  StepPart part = part_with({make_row({2}, 0, 0)});
  part.loss.algorithm.kl_coef = 0.1;
  part.loss.algorithm.kl_estimator = algorithm::KlEstimator::kK1;
  const PartReport report = bench.learner->accumulate(part, {});
  const double reference = 2 - std::log(1 + std::exp(1) + std::exp(2));
  EXPECT_NEAR(report.at(algorithm::LossStats::kKl), -std::log(3) - reference, 1e-6);
}

TEST(Learner, the_gap_to_the_sampler_is_measured_where_it_is_known) {
  Bench bench;
  TrainRow row = make_row({0, 1, 2}, 1, 0);
  row.decisions[0].sampler_logprob = -1;
  row.decisions[2].sampler_logprob = -3;
  const UpdateReport report = bench.learner->update({part_with({row})}, {}, at_lr(0.1));
  EXPECT_EQ(report.gap.count, 2);
  EXPECT_NEAR(report.gap.sum, 2, 1e-6);  // log 3 - 1 and 3 - log 3
  EXPECT_NEAR(report.gap.largest, 3 - std::log(3), 1e-6);
}

TEST(Learner, nothing_to_train_is_refused) {
  const auto local = distributed::make_local();
  EXPECT_EQ(thrown_by([&] {
              auto frozen = std::make_unique<TablePolicy>();
              frozen->arena().segments.clear();
              Learner(std::move(frozen), {}, {}, *local);
            }),
            "model.freeze leaves no parameter to train: remove a module from "
            "the list");
}

}  // namespace
}  // namespace sgrpo::learner
