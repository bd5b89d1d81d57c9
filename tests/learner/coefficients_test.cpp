// Coefficients that follow what a learner's optimizer steps measure, and their place in its state.
#include <gtest/gtest.h>

#include <cmath>

#include "learner/table_policy.h"
#include "sgrpo/core/error.h"
#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {
namespace {

/// A learner over three arms, held to a reference that prefers the last.
struct HeldBench {
  explicit HeldBench(std::unique_ptr<distributed::Communicator> ranks = distributed::make_local())
      : communicator(std::move(ranks)) {
    learner = std::make_unique<Learner>(std::make_unique<TablePolicy>(),
                                        optim::OptimOptions{},
                                        policy::Budget{.tokens = 100},
                                        *communicator);
    learner->set_reference(std::make_unique<TablePolicy>(TableOptions{.logits = {0, 1, 2}}));
  }
  std::unique_ptr<distributed::Communicator> communicator;
  std::unique_ptr<Learner> learner;
};

/// Two sampled members and an injected one, which no coefficient counts. k2 = (log p - log ref)^2 /
/// 2 of arms 0 and 1 is at first (1.308994^2 + 0.308994^2) / 4 = 0.452236 on average.
StepPart held_part(const core::Json& kl, const core::Json& entropy) {
  StepPart part;
  part.rows = {make_row({0}, 1, 0), make_row({1}, -1, 0), make_row({2}, 1, 0)};
  part.rows[2].origin = Origin::kGroundTruth;
  part.loss.algorithm.kl_coef = 0.1;
  part.loss.algorithm.kl_estimator = algorithm::KlEstimator::kK2;
  part.loss.algorithm.kl_adaptive = kl;
  part.loss.algorithm.adaptive_entropy = entropy;
  return part;
}

UpdateContext rate(double lr) { return {.lr = lr}; }

TEST(MovingCoefficients, each_optimizer_step_moves_them) {
  HeldBench bench;
  EXPECT_FALSE(bench.learner->coefficients());
  const StepPart part = held_part({{"target", 0.41}, {"horizon", 10}}, {{"target", 5.0}});
  bench.learner->update({part}, {}, rate(0.0));
  // 0.1 (1 + (0.452236 / 0.41 - 1) 2 / 10); two members, though three count in the loss
  EXPECT_NEAR(bench.learner->coefficients()->kl, 0.10206028, 1e-7);
  EXPECT_EQ(bench.learner->coefficients()->entropy, 0.005);
  EXPECT_NEAR(bench.learner->coefficients()->last_entropy, std::log(3), 1e-6);
  bench.learner->update({part}, {.epochs = 2, .minibatches = 1}, rate(0.0));
  EXPECT_NEAR(bench.learner->coefficients()->kl, 0.1 * std::pow(1.0206028, 3), 1e-7);
  EXPECT_DOUBLE_EQ(bench.learner->coefficients()->entropy, 0.015);
  const algorithm::AlgorithmOptions now = bench.learner->with_coefficients(part.loss.algorithm);
  EXPECT_EQ(now.kl_coef, bench.learner->coefficients()->kl);
  EXPECT_DOUBLE_EQ(now.entropy_coef, 0.015);
}

TEST(MovingCoefficients, the_moved_ones_weigh_the_next_step) {
  const StepPart moving = held_part({{"target", 1e-6}, {"horizon", 1}}, nullptr);
  HeldBench bench, fixed;
  bench.learner->update({moving}, {}, rate(0.0));
  const UpdateReport second = bench.learner->update({moving}, {}, rate(0.0));
  StepPart stands = held_part(nullptr, nullptr);
  stands.loss.algorithm.kl_coef = 0.1 * 1.4;  // 1 + 0.2 x 2 / 1
  const UpdateReport expected = fixed.learner->update({stands}, {}, rate(0.0));
  EXPECT_NEAR(second.grad_norm_sum, expected.grad_norm_sum, 1e-6);
  EXPECT_FALSE(fixed.learner->coefficients()) << "nothing moves";
}

TEST(MovingCoefficients, sums_are_those_of_all_ranks) {
  // kl, entropy, tokens and completions of the other rank; earlier sums are taken as they are.
  HeldBench bench(std::make_unique<OtherRank>(std::vector<double>{0.0, 0.0, 2.0, 6.0}));
  const StepPart part = held_part({{"target", 0.2}, {"horizon", 10}}, nullptr);
  bench.learner->update({part}, {}, rate(0.0));
  // mean KL 0.904472 / 4 = 0.226118: 0.1 (1 + 0.13059 x 8 / 10)
  EXPECT_NEAR(bench.learner->coefficients()->kl, 0.1104472, 1e-6);
}

TEST(MovingCoefficients, a_low_entropy_is_met_by_a_bonus_though_nothing_was_earned) {
  HeldBench bench;
  StepPart part = held_part(nullptr, {{"target", 5.0}});
  part.loss.algorithm.kl_coef = 0.0;
  for (TrainRow& row : part.rows) row.decisions[0].advantage = 0.0f;
  EXPECT_TRUE(bench.learner->update({part}, {}, rate(0.0)).had_signal);
  EXPECT_EQ(bench.learner->coefficients()->entropy, 0.005);
}

TEST(MovingCoefficients, state_gives_every_bit_back) {
  const StepPart part = held_part({{"target", 0.3}, {"horizon", 7}}, {{"target", 1.0}});
  HeldBench saved, loaded;
  for (int step = 0; step < 3; ++step) saved.learner->update({part}, {}, rate(0.1));
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& [name, tensor] : saved.learner->state())
    state.emplace_back(name, tensor.clone());
  loaded.learner->load_state("model", state, "run");
  EXPECT_EQ(*loaded.learner->coefficients(), *saved.learner->coefficients());
  state.back().second = at::zeros({2}, at::kDouble);
  std::string message;
  try {
    loaded.learner->load_state("model", state, "run");
  } catch (const core::UserError& error) {
    message = error.what();
  }
  EXPECT_EQ(
      message,
      "optimizer state: coefficients has 2 numbers of type Double, expected 3 of type Double");
}

}  // namespace
}  // namespace sgrpo::learner
