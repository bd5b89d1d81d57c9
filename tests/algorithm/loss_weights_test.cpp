// What the policy term is weighed with: sampler corrections, high-entropy tokens, off-policy
// sequences; and the ratio on the KL term.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

/// One sequence of A = 1 on policy whose sampler is off by these factors; NaN = not known.
LossCase sampled_with(const Doubles& factors) {
  LossCase loss_case = make_loss_case({with_ratios(Doubles(factors.size(), 1.0), 1.0)});
  loss_case.batch.sampler_logprobs =
      loss_case.batch.old_logprobs - at::tensor(factors, at::kDouble).log();
  return loss_case;
}

/// The weights that a rule gives, from gradients of -w A / 1.
Doubles weights_under(TisMode mode,
                      std::optional<double> min,
                      std::optional<double> max,
                      const LossCase& loss_case) {
  LossSettings settings = settings_for("clipped");
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
  settings.algorithm.tis = {.mode = mode, .min = min, .max = max};
  Doubles weights = gradient_values(loss_case, settings);
  for (double& weight : weights) weight = std::round(-weight * 1e12) / 1e12;
  return weights;
}

TEST(Tis, four_rules_have_the_hand_values) {
  const LossCase loss_case = sampled_with({2.0, 0.4, 1.0});  // 0.8 of the sequence
  EXPECT_EQ(weights_under(TisMode::kOff, {}, 1.5, loss_case), (Doubles{1, 1, 1}));
  EXPECT_EQ(weights_under(TisMode::kTokenTruncate, {}, 1.5, loss_case), (Doubles{1.5, 0.4, 1}));
  EXPECT_EQ(weights_under(TisMode::kTokenTruncate, 0.5, 1.5, loss_case), (Doubles{1.5, 0.5, 1}));
  EXPECT_EQ(weights_under(TisMode::kTokenMask, {}, 1.5, loss_case), (Doubles{0, 0.4, 1}));
  EXPECT_EQ(weights_under(TisMode::kTokenMask, 0.5, {}, loss_case), (Doubles{2, 0, 1}));
  EXPECT_EQ(weights_under(TisMode::kSequenceTruncate, {}, 1.5, loss_case), Doubles(3, 0.8));
  EXPECT_EQ(weights_under(TisMode::kSequenceTruncate, 0.9, {}, loss_case), Doubles(3, 0.9));
  EXPECT_EQ(weights_under(TisMode::kSequenceMask, {}, 1.5, loss_case), Doubles(3, 0.8));
  EXPECT_EQ(weights_under(TisMode::kSequenceMask, 0.9, {}, loss_case), Doubles(3, 0.0));
}

TEST(Tis, tokens_that_nobody_drew_weigh_one) {
  LossCase loss_case = sampled_with({2.0, std::nan("")});
  EXPECT_EQ(weights_under(TisMode::kTokenTruncate, {}, 3.0, loss_case), (Doubles{2, 1}));
  EXPECT_EQ(weights_under(TisMode::kSequenceTruncate, {}, 3.0, loss_case), (Doubles{2, 2}));
  loss_case.batch.is_injected.fill_(true);
  EXPECT_EQ(weights_under(TisMode::kTokenTruncate, {}, 3.0, loss_case), (Doubles{1, 1}));
  loss_case.batch.sampler_logprobs = at::Tensor();
  EXPECT_EQ(weights_under(TisMode::kTokenTruncate, {}, 3.0, loss_case), (Doubles{1, 1}));
}

TEST(Tis, leaves_the_kl_term_alone) {
  LossCase loss_case = sampled_with({4.0});
  loss_case.batch.ref_logprobs = loss_case.batch.old_logprobs + 0.5;
  LossSettings settings = settings_for("clipped");
  settings.algorithm.tis.mode = TisMode::kTokenMask;
  settings.algorithm.kl_coef = 2.0;
  settings.algorithm.kl_estimator = KlEstimator::kK1;
  EXPECT_NEAR(gradient_values(loss_case, settings)[0], 2.0, 1e-12);
}

TEST(Tis, meaningless_ranges_are_refused) {
  AlgorithmOptions options;
  options.tis = {.mode = TisMode::kTokenMask, .min = 1.0, .max = 1.0};
  EXPECT_EQ(message_of([&] { check_loss(options, {}); }),
            "algorithm.tis.min is 1, expected less than algorithm.tis.max (1)");
  options.tis = {.mode = TisMode::kSequenceTruncate, .min = {}, .max = {}};
  EXPECT_EQ(message_of([&] { check_loss(options, {}); }),
            "algorithm.tis.mode is sequence_truncate, and algorithm.tis.min and max are both null: "
            "nothing would be truncated; set one of them");
  options.tis.mode = TisMode::kSequenceMask;
  check_loss(options, {});
}

/// Ten tokens of two sequences with entropies 0, 1, ..., 9.
LossCase ten_tokens() {
  LossCase loss_case =
      make_loss_case({with_ratios(Doubles(4, 1.0), 1.0), with_ratios(Doubles(6, 1.0), 1.0)});
  loss_case.entropy = at::arange(10, at::kDouble);
  return loss_case;
}

TEST(TopEntropy, keeps_the_tokens_from_the_quantile_on) {
  const auto kept = [](double share) {
    LossSettings settings = settings_for("clipped");
    settings.algorithm.aggregation = Aggregation::kTokenMean;
    settings.algorithm.top_entropy_quantile = share;
    Doubles result;
    const auto gradient = gradient_values(ten_tokens(), settings);
    for (size_t m = 0; m < gradient.size(); ++m) {
      if (gradient[m] == 0.0) continue;
      EXPECT_NEAR(gradient[m], -0.1, 1e-15) << "the denominator stays";
      result.push_back(static_cast<double>(m));
    }
    return result;
  };
  EXPECT_EQ(kept(0.2), (Doubles{8, 9}));            // the quantile 0.8 of 0...9 is 7.2
  EXPECT_EQ(kept(1.0 / 3), (Doubles{6, 7, 8, 9}));  // exactly 6, whatever 1 - 1/3 rounds to
  EXPECT_EQ(kept(0.0), (Doubles{9}));
  EXPECT_EQ(kept(1.0).size(), 10u);
}

TEST(TopEntropy, the_quantile_is_that_of_the_whole_step_and_of_loss_tokens) {
  LossSettings settings = settings_for("clipped");
  settings.algorithm.top_entropy_quantile = 0.2;
  LossCase part = ten_tokens();
  part.batch.weight[9] = 0;  // 0...8: 6.4
  EXPECT_NEAR(*context_of(part, settings).entropy_floor, 6.4, 1e-12);
  StepContext context = part.context;
  add_statistics({at::arange(100, 200, at::kDouble).unsqueeze(1)}, settings, at::kCPU, context);
  const LossResult result =
      batch_loss({.logprobs = part.policy, .entropy = part.entropy}, part.batch, settings, context);
  EXPECT_EQ(result.loss.item<double>(), 0.0) << "other micro-batches hold the high entropies";
}

TEST(TopEntropy, kl_stays_on_every_token) {
  LossCase loss_case = ten_tokens();
  loss_case.batch.ref_logprobs = loss_case.batch.old_logprobs;
  LossSettings settings = settings_for("clipped");
  settings.algorithm.aggregation = Aggregation::kTokenMean;
  settings.algorithm.top_entropy_quantile = 0.0;
  settings.algorithm.kl_coef = 1.0;
  settings.algorithm.kl_estimator = KlEstimator::kK1;
  const auto gradient = gradient_values(loss_case, settings);
  EXPECT_NEAR(gradient[0], 0.1, 1e-15);
  EXPECT_NEAR(gradient[9], 0.0, 1e-15);
}

TEST(OffPolicyMask, a_sequence_that_became_unlikely_leaves_only_where_it_is_pushed_down) {
  // mean(sampler - policy) = 0.3 of every sequence.
  const auto far = [](double advantage) {
    return with_ratios({std::exp(-0.4), std::exp(-0.2)}, advantage);
  };
  const LossCase loss_case = make_loss_case({far(-1.0), far(1.0)});
  LossSettings settings = settings_for("reinforce");
  const auto is_gone = [&](const LossCase& of) {
    const auto gradient = gradient_values(of, settings);
    EXPECT_NE(gradient[2], 0.0);
    return gradient[0] == 0.0 && gradient[1] == 0.0;
  };
  EXPECT_FALSE(is_gone(loss_case));
  settings.algorithm.off_policy_mask = 0.31;
  EXPECT_FALSE(is_gone(loss_case));
  settings.algorithm.off_policy_mask = 0.29;
  EXPECT_TRUE(is_gone(loss_case)) << "without sampler log-probs by the old ones";
  LossCase sampled = loss_case;
  sampled.batch.sampler_logprobs = loss_case.policy.detach().clone();
  EXPECT_FALSE(is_gone(sampled)) << "the sampler's are what was drawn from";
  sampled.batch.sampler_logprobs = sampled.batch.sampler_logprobs + 1.0;
  sampled.batch.sampler_logprobs[1] = std::nan("");  // no evidence: mean 0.5
  EXPECT_TRUE(is_gone(sampled));
  settings.algorithm.off_policy_mask = 0.51;
  EXPECT_FALSE(is_gone(sampled));
}

// d = 0.5, ratio r = 2: r k3 = 2 x 0.1487212707; slope r k3 + r (1 - e^d) = 0.2974425414 -
// 1.2974425414 = -1.
TEST(KlImportance, multiplies_by_the_ratio_and_its_gradient) {
  LossCase loss_case = make_loss_case({with_ratios({2.0}, 0.0)});
  loss_case.batch.ref_logprobs = loss_case.policy.detach() + 0.5;
  LossSettings settings = settings_for("clipped");
  settings.algorithm.kl_coef = 1.0;
  settings.algorithm.kl_importance = true;
  const LossResult result = loss_of(loss_case, settings);
  EXPECT_NEAR(result.loss.item<double>(), 0.2974425414, 1e-9);
  EXPECT_NEAR(stat(result, LossStats::kKl), 0.2974425414, 1e-9);
  EXPECT_NEAR(gradient_values(loss_case, settings)[0], -1.0, 1e-9);
  loss_case.batch.old_logprobs = at::Tensor();  // on policy: k3 + 1 - e^d = -d
  EXPECT_NEAR(gradient_values(loss_case, settings)[0], -0.5, 1e-9);
}

TEST(KlImportance, takes_the_ratio_that_the_loss_takes) {
  LossCase loss_case = make_loss_case({with_ratios({2.0, 0.5}, 0.0)});  // s = 1
  loss_case.batch.ref_logprobs = loss_case.policy.detach() + 0.5;
  LossSettings settings = settings_for("gspo");
  settings.algorithm.kl_coef = 1.0;
  settings.algorithm.kl_importance = true;
  EXPECT_NEAR(loss_of(loss_case, settings).loss.item<double>(), 0.1487212707, 1e-9);
  settings.algorithm.loss = "clipped";  // (2 + 0.5) / 2
  EXPECT_NEAR(loss_of(loss_case, settings).loss.item<double>(), 1.25 * 0.1487212707, 1e-9);
}

TEST(SftLoss, what_weighs_policy_terms_has_no_say) {
  LossSettings settings = settings_for("clipped");
  settings.algorithm.tis.mode = TisMode::kSequenceMask;
  settings.algorithm.top_entropy_quantile = 0.1;
  settings.algorithm.off_policy_mask = 0.0;
  EXPECT_EQ(gradient_values(ten_tokens(), sft_settings(settings)), Doubles(10, -0.1));
}

}  // namespace
}  // namespace sgrpo::algorithm
