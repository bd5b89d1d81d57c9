#include "sgrpo/algorithm/loss.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

using reference::Sequence;

/// Sequences of 1 to 6 tokens; the first is the injected one. Log-ratios spread over the clip
/// range.
std::vector<Sequence> random_sequences(uint64_t seed, size_t count = 5) {
  std::vector<Sequence> sequences(count);
  for (size_t b = 0; b < count; ++b) {
    const core::RandomKey key{.seed = seed, .sample_index = b};
    uint64_t draw = 0;
    const uint64_t length = 1 + key.below(6, 1000);
    for (uint64_t t = 0; t < length; ++t) {
      const double policy = -std::abs(key.normal(draw++)) - 0.05;
      sequences[b].policy.push_back(policy);
      sequences[b].old.push_back(policy + 0.4 * key.normal(draw++));
      sequences[b].ref.push_back(policy + 0.4 * key.normal(draw++));
      sequences[b].entropy.push_back(std::abs(key.normal(draw++)));
    }
    sequences[b].advantage = key.normal(draw++);
    sequences[b].is_injected = b == 0;
  }
  sequences[0].advantage = 1.75;
  return sequences;
}

LossSettings settings_of(const reference::LossSettings& twin) {
  LossSettings settings;
  AlgorithmOptions& options = settings.algorithm;
  options.clip_low = twin.clip_low;
  options.clip_high = twin.clip_high;
  options.clip_dual = twin.clip_dual;
  options.kl_coef = twin.kl_coef;
  if (twin.kl != "none") options.kl_estimator = core::from_name<KlEstimator>(twin.kl).value();
  options.entropy_coef = twin.entropy_coef;
  options.aggregation = core::from_name<Aggregation>(twin.aggregation).value();
  settings.aggregation_constant = twin.constant;
  InjectionOptions& injection = settings.injection;
  injection.gt_old_logprob = core::from_name<GtOldLogprob>(twin.gt_old_logprob).value();
  injection.gt_shape = core::from_name<GtShape>(twin.gt_shape).value();
  injection.gt_clip = twin.gt_clip;
  injection.gt_kl = twin.gt_kl;
  injection.shape_g = twin.shape_g;
  injection.shape_alpha = twin.shape_alpha;
  return settings;
}

/// Loss, gradient and metrics equal the loop twin's. 1e-13: sums of at most 30 terms of order 1.
void expect_equals_twin(const std::vector<Sequence>& sequences,
                        const reference::LossSettings& twin,
                        const std::string& where) {
  const LossCase loss_case = make_loss_case(sequences);
  const LossResult result = loss_of(loss_case, settings_of(twin));
  const reference::LossResult expected = reference::policy_loss(sequences, twin);
  EXPECT_NEAR(result.loss.item<double>(), expected.loss, 1e-13) << where;
  const at::Tensor gradient = gradient_of(result, loss_case);
  for (size_t m = 0; m < expected.gradient.size(); ++m) {
    EXPECT_NEAR(gradient[static_cast<int64_t>(m)].item<double>(), expected.gradient[m], 1e-13)
        << where << ", token " << m;
  }
  EXPECT_EQ(stat(result, LossStats::kClipLow), expected.clip_low) << where;
  EXPECT_EQ(stat(result, LossStats::kClipHigh), expected.clip_high) << where;
  if (twin.kl != "none") {
    EXPECT_NEAR(stat(result, LossStats::kKl), expected.sampled_kl, 1e-13) << where;
  }
}

TEST(PolicyLoss, matches_the_loop_twin_under_every_injection_rule) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const auto sequences = random_sequences(seed);
    for (const std::string rule : {"current_detached", "pi_old_score", "one"}) {
      for (const bool flag : {true, false}) {
        reference::LossSettings twin{.kl = "k3", .kl_coef = 0.1, .gt_old_logprob = rule};
        twin.gt_clip = flag;
        twin.gt_kl = !flag;
        expect_equals_twin(sequences, twin, rule + (flag ? " clipped" : " free"));
      }
    }
    for (const std::string shape : {"p_over_p_plus_g", "trsft", "phi"}) {
      expect_equals_twin(sequences, {.gt_shape = shape, .shape_g = 0.2}, shape);
    }
  }
}

TEST(PolicyLoss, matches_the_loop_twin_under_every_aggregation) {
  for (const std::string aggregation :
       {"token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_const"}) {
    reference::LossSettings twin{.clip_high = 0.28, .clip_dual = 1.2, .kl = "k2", .kl_coef = 0.3};
    twin.entropy_coef = 0.01;
    twin.aggregation = aggregation;
    twin.constant = 7;
    for (uint64_t seed = 20; seed < 30; ++seed) {
      expect_equals_twin(random_sequences(seed), twin, aggregation);
    }
  }
}

TEST(PolicyLoss, micro_batches_add_up_to_the_batch) {
  const auto sequences = random_sequences(4, 6);
  for (const std::string aggregation :
       {"token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_const"}) {
    LossSettings settings;
    settings.algorithm.aggregation = core::from_name<Aggregation>(aggregation).value();
    settings.aggregation_constant = 3;
    const LossCase whole = make_loss_case(sequences);
    const LossResult expected = loss_of(whole, settings);
    const at::Tensor expected_gradient = gradient_of(expected, whole);
    double loss = 0;
    at::Tensor sums = at::zeros({LossStats::kNumStats}, at::kDouble);
    std::vector<at::Tensor> gradients;
    for (const auto& [begin, end] : {std::pair{0, 1}, {1, 4}, {4, 6}}) {
      LossCase part = make_loss_case({sequences.begin() + begin, sequences.begin() + end});
      part.context = whole.context;
      const LossResult result = loss_of(part, settings);
      loss += result.loss.item<double>();
      sums += result.stats.sums;
      gradients.push_back(gradient_of(result, part));
    }
    EXPECT_NEAR(loss, expected.loss.item<double>(), 1e-14) << aggregation;
    EXPECT_LT((at::cat(gradients) - expected_gradient).abs().max().item<double>(), 1e-15);
    EXPECT_LT((sums - expected.stats.sums).abs().max().item<double>(), 1e-12) << aggregation;
  }
}

TEST(PolicyLoss, masked_token_has_no_gradient_and_may_hold_anything) {
  const LossCase clean = make_loss_case(random_sequences(6));
  LossSettings settings;
  settings.algorithm.kl_coef = 0.1;
  settings.algorithm.entropy_coef = 0.1;
  for (const double poison : {-3.0, std::numeric_limits<double>::quiet_NaN()}) {
    for (const std::string aggregation : {"token_mean", "seq_mean_token_mean"}) {
      settings.algorithm.aggregation = core::from_name<Aggregation>(aggregation).value();
      LossCase masked = clean;
      masked.policy = clean.policy.detach().clone();
      masked.policy[2] = poison;
      masked.policy.requires_grad_();
      masked.batch.weight = clean.batch.weight.clone();
      masked.batch.weight[2] = 0;
      const LossResult result = loss_of(masked, settings);
      const at::Tensor gradient = gradient_of(result, masked);
      EXPECT_EQ(gradient[2].item<double>(), 0.0) << poison;
      EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << poison;
      EXPECT_TRUE(result.stats.sums.isfinite().all().item<bool>()) << poison;
      EXPECT_NE(gradient[0].item<double>(), 0.0);
    }
  }
}

/// One token with the given log-ratio and advantage.
LossCase one_token(double log_ratio, double advantage, bool is_injected = false) {
  const double old = -1.0;
  return make_loss_case({{.policy = {old + log_ratio},
                          .old = {old},
                          .ref = {},
                          .entropy = {0.5},
                          .advantage = advantage,
                          .is_injected = is_injected}});
}

double gradient_at(double ratio, double advantage, const LossSettings& settings) {
  const LossCase loss_case = one_token(std::log(ratio), advantage);
  return gradient_of(loss_of(loss_case, settings), loss_case).item<double>();
}

TEST(Clipped, gradient_stops_outside_the_range_on_the_improving_side_only) {
  LossSettings settings;
  settings.algorithm.clip_low = 0.2;
  settings.algorithm.clip_high = 0.28;
  EXPECT_NEAR(gradient_at(1.27, 2.0, settings), -1.27 * 2, 1e-14);
  EXPECT_EQ(gradient_at(1.29, 2.0, settings), 0.0);
  EXPECT_NEAR(gradient_at(0.1, 2.0, settings), -0.2, 1e-14);
  EXPECT_NEAR(gradient_at(0.81, -2.0, settings), 0.81 * 2, 1e-14);
  EXPECT_EQ(gradient_at(0.79, -2.0, settings), 0.0);
  EXPECT_NEAR(gradient_at(3.0, -2.0, settings), 6.0, 1e-14);
  EXPECT_NEAR(gradient_at(1.0, 2.0, settings), -2.0, 1e-15);
}

TEST(Clipped, dual_clip_bounds_the_loss_of_negative_advantages) {
  LossSettings settings;
  settings.algorithm.clip_dual = 3.0;
  EXPECT_NEAR(gradient_at(2.9, -1.0, settings), 2.9, 1e-14);
  EXPECT_EQ(gradient_at(3.1, -1.0, settings), 0.0);
  const LossCase loss_case = one_token(std::log(5.0), -1.0);
  EXPECT_NEAR(loss_of(loss_case, settings).loss.item<double>(), 3.0, 1e-14);
}

TEST(PolicyLoss, log_ratio_is_clamped_before_exp) {
  const LossCase loss_case = one_token(60.0, -1.0);
  const LossResult result = loss_of(loss_case, {});
  EXPECT_DOUBLE_EQ(result.loss.item<double>(), std::exp(20.0));
  EXPECT_EQ(gradient_of(result, loss_case).item<double>(), 0.0);
}

TEST(PolicyLoss, without_old_logprobs_the_gradient_is_minus_the_advantage) {
  LossCase loss_case = make_loss_case(random_sequences(9));
  loss_case.batch.old_logprobs = at::Tensor();
  const LossResult result = loss_of(loss_case, {});
  const auto tokens = static_cast<double>(loss_case.context.denominators.decisions);
  EXPECT_TRUE(gradient_of(result, loss_case).equal(-loss_case.batch.advantages * (1.0 / tokens)));
  EXPECT_NEAR(stat(result, LossStats::kAbsAdvantageRatio),
              loss_case.batch.advantages.abs().sum().item<double>(),
              1e-14);
}

TEST(Injected, old_rule_one_weighs_the_gradient_with_p) {
  LossSettings settings;
  settings.injection.gt_old_logprob = GtOldLogprob::kOne;
  settings.injection.gt_clip = false;
  const LossCase loss_case = one_token(0.0, 2.0, true);
  EXPECT_NEAR(gradient_of(loss_of(loss_case, settings), loss_case).item<double>(),
              -2 * std::exp(-1.0),
              1e-15);
}

TEST(Injected, current_detached_never_clips_and_others_may) {
  LossSettings settings;
  const LossCase loss_case = one_token(1.0, 2.0, true);
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kInjectedClipped), 0);
  settings.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kInjectedClipped), 1);
  settings.injection.gt_clip = false;
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kInjectedClipped), 0);
  EXPECT_NEAR(gradient_of(loss_of(loss_case, settings), loss_case).item<double>(),
              -2 * std::exp(1.0),
              1e-14);
}

double coefficient(const std::string& shape, double p) {
  LossSettings settings;
  settings.injection.gt_shape = core::from_name<GtShape>(shape).value();
  const LossCase loss_case = make_loss_case({{.policy = {std::log(p)},
                                              .old = {-3.0},
                                              .ref = {},
                                              .entropy = {0.0},
                                              .advantage = 1.0,
                                              .is_injected = true}});
  return -gradient_of(loss_of(loss_case, settings), loss_case).item<double>();
}

TEST(Shape, coefficients_have_the_published_values) {
  EXPECT_NEAR(coefficient("p_over_p_plus_g", 0.01), 0.0826, 5e-5);
  EXPECT_NEAR(coefficient("p_over_p_plus_g", 0.1), 0.25, 1e-15);
  EXPECT_NEAR(coefficient("p_over_p_plus_g", 0.5), 0.1389, 5e-5);
  EXPECT_NEAR(coefficient("p_over_p_plus_g", 0.9), 0.09, 1e-15);
  EXPECT_NEAR(coefficient("phi", 0.5), 0.25, 1e-15);
  EXPECT_NEAR(coefficient("phi", 1.0), 0.0, 1e-15);
  EXPECT_NEAR(coefficient("phi", 1e-12), 0.0, 1e-11);
  EXPECT_NEAR(coefficient("trsft", 0.05), 0.5, 1e-15);
  EXPECT_NEAR(coefficient("trsft", 0.2), 1.0, 1e-15);
}

/// Largest difference between the gradient and central differences with step 1e-6 (error about
/// 1e-10: half the digits of a double).
double finite_difference_error(const LossCase& loss_case, const LossSettings& settings) {
  const at::Tensor gradient = gradient_of(loss_of(loss_case, settings), loss_case);
  double worst = 0.0;
  for (int64_t m = 0; m < gradient.numel(); ++m) {
    double values[2];
    for (const int side : {0, 1}) {
      LossCase moved = loss_case;
      moved.policy = loss_case.policy.detach().clone();
      moved.policy[m] += side == 0 ? -1e-6 : 1e-6;
      values[side] = loss_of(moved, settings).loss.item<double>();
    }
    worst = std::max(worst, std::abs((values[1] - values[0]) / 2e-6 - gradient[m].item<double>()));
  }
  return worst;
}

TEST(Gradcheck, gradient_equals_finite_differences) {
  LossSettings settings;
  settings.algorithm.kl_coef = 0.2;
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenMean;
  settings.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  const LossCase loss_case = make_loss_case(random_sequences(12));
  EXPECT_LT(finite_difference_error(loss_case, settings), 1e-9);
  settings.injection.gt_old_logprob = GtOldLogprob::kOne;
  EXPECT_LT(finite_difference_error(loss_case, settings), 1e-9);
  settings.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  for (const std::string shape : {"p_over_p_plus_g", "trsft", "phi"}) {
    settings.injection.gt_shape = core::from_name<GtShape>(shape).value();
    EXPECT_LT(finite_difference_error(loss_case, settings), 1e-9) << shape;
  }
}

TEST(Kl, estimators_at_half_a_nat_have_the_hand_values) {
  const at::Tensor policy = at::full({1}, -1.5, at::kDouble),
                   ref = at::full({1}, -1.0, at::kDouble);
  EXPECT_DOUBLE_EQ(kl_estimate(KlEstimator::kK1, policy, ref).item<double>(), -0.5);
  EXPECT_DOUBLE_EQ(kl_estimate(KlEstimator::kK2, policy, ref).item<double>(), 0.125);
  EXPECT_NEAR(kl_estimate(KlEstimator::kK3, policy, ref).item<double>(), 0.148721, 5e-7);
}

TEST(Kl, a_coefficient_without_reference_is_refused) {
  LossCase loss_case = make_loss_case(random_sequences(1));
  loss_case.batch.ref_logprobs = at::Tensor();
  LossSettings settings;
  settings.algorithm.kl_coef = 0.1;
  EXPECT_THROW(loss_of(loss_case, settings), c10::ValueError);
  settings.algorithm.kl_coef = 0.0;
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kKl), 0.0);
}

TEST(Entropy, bonus_reaches_the_entropys_gradient) {
  LossCase loss_case = make_loss_case(random_sequences(2));
  loss_case.entropy.requires_grad_();
  LossSettings settings;
  settings.algorithm.entropy_coef = 0.3;
  const LossResult result = loss_of(loss_case, settings);
  result.loss.backward();
  const auto tokens = static_cast<double>(loss_case.context.denominators.decisions);
  EXPECT_NEAR(loss_case.entropy.grad()[1].item<double>(), -0.3 / tokens, 1e-16);
  EXPECT_FALSE(result.stats.sums.requires_grad());
}

TEST(Stats, sampled_and_injected_tokens_are_told_apart) {
  const LossCase loss_case = make_loss_case(
      {{.policy = {-1, -2},
        .old = {-1, -2},
        .ref = {-1, -2},
        .entropy = {0.5, 0.25},
        .advantage = 1.5,
        .is_injected = true},
       {.policy = {-3}, .old = {-3}, .ref = {-3.5}, .entropy = {2}, .advantage = -0.5}});
  LossSettings settings;
  settings.algorithm.kl_estimator = KlEstimator::kK1;
  const LossResult result = loss_of(loss_case, settings);
  EXPECT_EQ(stat(result, LossStats::kLossTokens), 3);
  EXPECT_EQ(stat(result, LossStats::kSampledTokens), 1);
  EXPECT_EQ(stat(result, LossStats::kInjectedTokens), 2);
  EXPECT_EQ(stat(result, LossStats::kKl), 0.5);
  EXPECT_EQ(stat(result, LossStats::kEntropy), 2);
  EXPECT_EQ(stat(result, LossStats::kInjectedEntropy), 0.75);
  EXPECT_EQ(stat(result, LossStats::kInjectedLogprob), -3);
  EXPECT_EQ(stat(result, LossStats::kAbsAdvantageRatio), 3.5);
  EXPECT_NEAR(stat(result, LossStats::kLoss), -2.5 / 3, 1e-15);
}

TEST(SftLoss, is_the_token_mean_over_the_whole_step_for_unequal_lengths) {
  auto sequences = random_sequences(15, 4);
  sequences[0].is_injected = false;
  const LossCase whole = make_loss_case(sequences);
  const auto tokens = static_cast<double>(whole.context.denominators.decisions);
  LossSettings settings;
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenMean;  // has no say in SFT
  settings.algorithm.entropy_coef = 0.1;                            // neither
  const LossResult expected = loss_of(whole, sft_settings(settings));
  EXPECT_NEAR(expected.loss.item<double>(), -whole.policy.sum().item<double>() / tokens, 1e-15);
  EXPECT_EQ(stat(expected, LossStats::kSampledTokens), tokens);
  const at::Tensor gradient = gradient_of(expected, whole);
  EXPECT_TRUE(gradient.equal(at::full_like(gradient, -1.0 / tokens)));
  double loss = 0;
  for (const Sequence& sequence : sequences) {
    LossCase part = make_loss_case({sequence});
    part.context = whole.context;
    const LossResult result = loss_of(part, sft_settings(settings));
    loss += result.loss.item<double>();
    const at::Tensor own = gradient_of(result, part);
    EXPECT_TRUE(own.equal(at::full_like(own, -1.0 / tokens)));
  }
  EXPECT_NEAR(loss, expected.loss.item<double>(), 1e-14);
}

TEST(PolicyLoss, a_weight_scales_its_decision_and_counts_it_whole) {
  const LossCase plain = make_loss_case(random_sequences(5));
  for (const std::string aggregation : {"token_mean", "seq_mean_token_mean"}) {
    LossSettings settings;
    settings.algorithm.aggregation = core::from_name<Aggregation>(aggregation).value();
    const at::Tensor expected = gradient_of(loss_of(plain, settings), plain);
    LossCase weighted = plain;
    weighted.batch.weight = plain.batch.weight.clone();
    weighted.batch.weight[0] = -0.5;
    weighted.batch.weight[1] = 2;
    const LossResult result = loss_of(weighted, settings);
    const at::Tensor gradient = gradient_of(result, weighted);
    const at::Tensor factors = weighted.batch.weight.to(at::kDouble);
    EXPECT_LT((gradient - expected * factors).abs().max().item<double>(), 1e-16) << aggregation;
    EXPECT_EQ(stat(result, LossStats::kLossTokens), static_cast<double>(gradient.numel()));
  }
}

TEST(SftLoss, kl_pulls_towards_the_reference) {
  const LossCase loss_case =
      make_loss_case({{.policy = {-1.5}, .old = {0}, .ref = {-1.0}, .entropy = {0}}});
  LossSettings settings;
  settings.algorithm.kl_coef = 2.0;
  settings.algorithm.kl_estimator = KlEstimator::kK2;
  const LossResult result = loss_of(loss_case, sft_settings(settings));
  EXPECT_DOUBLE_EQ(result.loss.item<double>(), 1.5 + 2 * 0.125);
  EXPECT_DOUBLE_EQ(gradient_of(result, loss_case).item<double>(), -1 - 2 * 0.5);
  EXPECT_DOUBLE_EQ(stat(result, LossStats::kKl), 0.125);
}

TEST(PolicyLoss, f32_inputs_give_an_f32_loss_and_f64_stats) {
  LossCase loss_case = make_loss_case(random_sequences(3));
  const double exact = loss_of(loss_case, {}).loss.item<double>();
  loss_case.policy = loss_case.policy.detach().to(at::kFloat).requires_grad_();
  loss_case.entropy = loss_case.entropy.to(at::kFloat);
  const LossResult result = loss_of(loss_case, {});
  EXPECT_EQ(result.loss.scalar_type(), at::kFloat);
  EXPECT_EQ(result.stats.sums.scalar_type(), at::kDouble);
  EXPECT_NEAR(result.loss.item<double>(), exact, 1e-6);
}

TEST(PolicyLoss, wrong_shapes_are_named) {
  LossCase loss_case = make_loss_case(random_sequences(3));
  loss_case.batch.old_logprobs = at::zeros({2}, at::kDouble);
  try {
    loss_of(loss_case, {});
    FAIL() << "old_logprobs of a wrong length were accepted";
  } catch (const c10::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("old_logprobs has shape [2], expected [M] with M ="),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
