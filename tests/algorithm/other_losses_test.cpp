// Golds of the losses beside `clipped`: reinforce, cispo, gspo.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

TEST(Registry, losses_are_pinned) {
  const auto names = LossRegistry::names();
  for (const std::string name : {"clipped",
                                 "reinforce",
                                 "cispo",
                                 "gspo",
                                 "gspo_token",
                                 "sapo",
                                 "vespo",
                                 "geo_mean",
                                 "clip_cov",
                                 "kl_cov",
                                 "real",
                                 "fipo",
                                 "reg",
                                 "rec",
                                 "opmd",
                                 "srft",
                                 "sft"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
}

TEST(Reinforce, gradient_is_minus_the_advantage_whatever_the_ratio) {
  const LossCase loss_case = make_loss_case({with_ratios({3.0, 0.2}, 1.5)});
  LossSettings settings = settings_for("reinforce");
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
  EXPECT_EQ(gradient_values(loss_case, settings), (std::vector<double>{-1.5, -1.5}));
  const LossResult result = loss_of(loss_case, settings);
  EXPECT_NEAR(result.loss.item<double>(), -1.5 * (-4 + std::log(3.0) + std::log(0.2)), 1e-14);
  EXPECT_EQ(stat(result, LossStats::kClipHigh), 0);
}

TEST(Cispo, a_clipped_token_keeps_its_gradient) {
  const LossCase loss_case = make_loss_case({with_ratios({3.0, 0.1, 1.1}, 1.0)});
  const LossSettings settings = settings_for("cispo");
  const auto gradient = gradient_values(loss_case, settings);
  EXPECT_NEAR(gradient[0], -1.2 / 3, 1e-15);
  EXPECT_NEAR(gradient[1], -0.1 / 3, 1e-15);
  EXPECT_NEAR(gradient[2], -1.1 / 3, 1e-15);
  EXPECT_EQ(gradient_values(loss_case, settings_for("clipped"))[0], 0.0);
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kClipHigh), 1);
}

TEST(Cispo, injected_tokens_are_unclipped_on_request) {
  reference::Sequence sequence = with_ratios({3.0}, 1.0);
  sequence.is_injected = true;
  LossSettings settings = settings_for("cispo");
  settings.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  EXPECT_NEAR(gradient_values(make_loss_case({sequence}), settings)[0], -1.2, 1e-15);
  settings.injection.gt_clip = false;
  EXPECT_NEAR(gradient_values(make_loss_case({sequence}), settings)[0], -3.0, 1e-14);
}

TEST(Gspo, sequence_ratio_is_the_geometric_mean) {
  const LossCase loss_case = make_loss_case({with_ratios({1.2, 0.9, 1.0}, 1.0)});
  const LossResult result = loss_of(loss_case, settings_for("gspo"));
  EXPECT_NEAR(result.loss.item<double>(), -1.02599, 5e-6);
  // d s / d log p of each of three tokens is s / 3.
  for (const double slope : gradient_values(loss_case, settings_for("gspo"))) {
    EXPECT_NEAR(slope, -std::cbrt(1.08) / 3, 1e-15);
  }
}

TEST(Gspo, a_sequence_is_clipped_as_a_whole) {
  LossSettings settings = settings_for("gspo");
  settings.algorithm.clip_low = 3e-4;
  settings.algorithm.clip_high = 4e-4;
  const LossCase loss_case =
      make_loss_case({with_ratios({1.2, 0.9, 1.0}, 1.0), with_ratios({1.1, 1.0}, -1.0)});
  const auto gradient = gradient_values(loss_case, settings);
  EXPECT_EQ(std::vector<double>(gradient.begin(), gradient.begin() + 3),
            std::vector<double>(3, 0.0));
  EXPECT_NEAR(gradient[3], std::sqrt(1.1) / 4, 1e-15);
  const LossResult result = loss_of(loss_case, settings);
  EXPECT_EQ(stat(result, LossStats::kClipHigh), 3);
  EXPECT_EQ(stat(result, LossStats::kClipLow), 0);
}

TEST(Gspo, masked_tokens_have_no_part_in_the_mean) {
  LossCase loss_case = make_loss_case({with_ratios({1.2, 0.9, 1.0, 50.0}, 1.0)});
  loss_case.batch.weight[3] = 0;
  const auto gradient = gradient_values(loss_case, settings_for("gspo"));
  EXPECT_NEAR(gradient[0], -std::cbrt(1.08) / 3, 1e-15);
  EXPECT_EQ(gradient[3], 0.0);
}

// Softmax over the logits of 3 arms, behaviour [.3, .6, .1], rewards [0, .8, 1], baseline = the
// behaviour's mean reward 0.58: the expected REINFORCE weights b_a (r_a - baseline).
TEST(Reinforce, offline_bandit_gives_the_published_logit_weights) {
  const std::vector<double> behaviour = {0.3, 0.6, 0.1}, rewards = {0.0, 0.8, 1.0};
  at::Tensor logits = at::zeros({3}, at::kDouble).requires_grad_();
  const at::Tensor logprobs = logits.log_softmax(0);
  LossCase loss_case = make_loss_case({with_ratios({1, 1, 1}, 0)});
  for (int64_t arm = 0; arm < 3; ++arm) {
    const auto index = static_cast<size_t>(arm);
    // The expectation over the behaviour as a sum with its probabilities as weights.
    loss_case.batch.advantages[arm] = behaviour[index] * (rewards[index] - 0.58);
  }
  LossSettings settings = settings_for("reinforce");
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
  batch_loss({.logprobs = logprobs, .entropy = loss_case.entropy},
             loss_case.batch,
             settings,
             loss_case.context)
      .loss.backward();
  const std::vector<double> expected = {-0.174, 0.132, 0.042};
  for (int64_t arm = 0; arm < 3; ++arm) {
    EXPECT_NEAR(-logits.grad()[arm].item<double>(), expected[static_cast<size_t>(arm)], 1e-15);
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
