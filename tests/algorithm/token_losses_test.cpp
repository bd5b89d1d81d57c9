// Hand-worked golds of the losses whose terms belong to tokens or sequences.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

void expect_values(const Doubles& got, const Doubles& expected, double tolerance = 1e-9) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << i;
}

double loss_value(const LossCase& loss_case, const LossSettings& settings) {
  return loss_of(loss_case, settings).loss.item<double>();
}

TEST(GspoToken, has_the_value_of_gspo_and_a_gradient_of_each_token) {
  LossCase loss_case = make_loss_case({with_ratios({1.2, 0.9, 1.0}, 1.0)});
  const LossSettings settings = settings_for("gspo_token");
  const double s = 1.0259855680;  // the cube root of 1.08
  EXPECT_NEAR(loss_value(loss_case, settings), -s, 1e-9);
  expect_values(gradient_values(loss_case, settings), Doubles(3, -s / 3));
  loss_case.batch.advantages = at::tensor({1.0, 2.0, 0.0}, at::kDouble);
  EXPECT_NEAR(loss_value(loss_case, settings), -s, 1e-9);
  expect_values(gradient_values(loss_case, settings), {-s / 3, -s * 2 / 3, 0.0});
}

TEST(GspoToken, a_sequence_outside_the_range_has_no_gradient) {
  LossSettings settings = settings_for("gspo_token");
  settings.algorithm.clip_high = 4e-4;
  const LossCase loss_case = make_loss_case({with_ratios({1.2, 0.9, 1.0}, 1.0)});
  expect_values(gradient_values(loss_case, settings), {0, 0, 0});
  EXPECT_EQ(stat(loss_of(loss_case, settings), LossStats::kClipHigh), 3);
}

TEST(Gspo, the_dual_clip_bounds_a_sequence_and_luspo_weighs_it_with_its_length) {
  LossSettings settings = settings_for("gspo");
  settings.algorithm.clip_dual = 1.5;
  const LossCase loss_case = make_loss_case({with_ratios({2.0, 2.0}, -1.0)});
  EXPECT_NEAR(loss_value(loss_case, settings), 1.5, 1e-12);
  settings.algorithm.clip_dual = std::nullopt;
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
  EXPECT_NEAR(loss_value(loss_case, settings), 2 * 2.0, 1e-12);
}

// (4 / tau) sigmoid(tau (rho - 1)): sigmoid(1) = 0.7310585786, sigmoid(2.1) = 0.8909031788.
TEST(Sapo, gate_and_slope_have_the_hand_values) {
  const LossSettings settings = settings_for("sapo");
  const auto at = [&](double ratio, double advantage) {
    const LossCase loss_case = make_loss_case({with_ratios({ratio}, advantage)});
    return Doubles{loss_value(loss_case, settings), gradient_values(loss_case, settings)[0]};
  };
  expect_values(at(1.0, 0.7), {-2 * 0.7, -0.7});  // the slope at rho = 1 is A
  expect_values(at(1.0, -0.7), {2 / 1.05 * 0.7, 0.7});
  expect_values(at(2.0, 1.0), {-2.9242343145, -1.5728954660});
  expect_values(at(3.0, -1.0), {3.3939168716, 1.1663364570});
  EXPECT_LT(std::abs(at(50.0, 1.0)[1]), 1e-15) << "far out nothing moves";
}

TEST(Sapo, temperatures_are_parameters) {
  const LossCase loss_case = make_loss_case({with_ratios({2.0}, 1.0)});
  EXPECT_NEAR(loss_value(loss_case, settings_for("sapo", {{"temperature_pos", 2.0}})),
              -2 * 0.8807970780,  // sigmoid(2)
              1e-9);
  EXPECT_EQ(message_of([&] {
              loss_of(loss_case, settings_for("sapo", {{"temperature_pos", 0}}));
            }),
            "algorithm.params.loss.temperature_pos is 0, expected a number in [0.001, 1000]");
}

TEST(SequenceRatio, cispo_and_sapo_take_that_of_gspo_on_request) {
  const LossCase loss_case = make_loss_case({with_ratios({2.0, 1.125}, 1.0)});  // s = 1.5
  const core::Json params = {{"sequence_ratio", true}};
  LossSettings settings = settings_for("cispo", params);
  settings.algorithm.clip_high = 5.0;
  expect_values(gradient_values(loss_case, settings), {-0.75, -0.75});
  EXPECT_NEAR(loss_value(loss_case, settings_for("sapo", params)),
              -4 * 0.6224593312,  // sigmoid(0.5)
              1e-9);
}

// phi(w) = exp(lambda + k log w - lambda w): phi(1) = 1; w = 2 gives 4 e^-3 for A >= 0, 8 e^-2 for
// A < 0.
TEST(Vespo, phi_has_the_hand_values) {
  const auto weight = [](const Doubles& ratios, double advantage, const core::Json& params) {
    const LossCase loss_case = make_loss_case({with_ratios(ratios, advantage)});
    const double count = static_cast<double>(ratios.size());
    return -gradient_values(loss_case, settings_for("vespo", params))[0] * count / advantage;
  };
  const core::Json none = core::Json::object();
  EXPECT_NEAR(weight({1.0, 1.0}, 0.3, none), 1.0, 1e-12);
  EXPECT_NEAR(weight({4.0, 0.25}, -0.3, none), 1.0, 1e-12);
  EXPECT_NEAR(weight({2.0, 1.0}, 1.0, none), 0.1991482735, 1e-10);
  EXPECT_NEAR(weight({2.0, 1.0}, -1.0, none), 1.0826822659, 1e-10);
  // e^(1 + ln 2 - 2) = 2 / e
  EXPECT_NEAR(weight({2.0}, 1.0, {{"k_pos", 1}, {"lambda_pos", 1}}), 0.7357588823, 1e-10);
  EXPECT_EQ(weight({1e6, 1e6}, 1.0, none), 0.0) << "the sequence is far too likely now";
}

TEST(Vespo, takes_the_samplers_ratio_into_w_and_is_not_weighed_twice) {
  LossCase loss_case = make_loss_case({with_ratios({2.0, 1.0}, 1.0)});
  loss_case.batch.sampler_logprobs = loss_case.batch.old_logprobs.clone();
  loss_case.batch.sampler_logprobs[1] += std::log(2.0);  // its ratio is 0.5, so w = 1
  LossSettings settings = settings_for("vespo");
  settings.algorithm.tis.mode = TisMode::kTokenTruncate;
  expect_values(gradient_values(loss_case, settings), {-0.5, -0.5});
  settings.algorithm.tis.mode = TisMode::kSequenceMask;
  EXPECT_EQ(message_of([&] { loss_of(loss_case, settings); }),
            "algorithm.tis.mode is sequence_mask: loss vespo sums the tokens' ratios over the "
            "sequence itself; expected token_truncate, token_mask or off");
}

// A > 0: log-ratios (log 2 -> 0.4, log 0.9, 0), mean 0.0982131614; A < 0: (log 2, log 0.5 -> -0.4,
// 0), mean 0.0977157269.
TEST(GeoMean, tokens_are_clipped_on_the_side_that_the_advantage_punishes) {
  LossSettings settings = settings_for("geo_mean");
  settings.algorithm.clip_low = settings.algorithm.clip_high = 0.4;
  const LossCase better = make_loss_case({with_ratios({2.0, 0.9, 1.0}, 1.0)});
  const double up = std::exp(0.0982131614);
  EXPECT_NEAR(loss_value(better, settings), -up, 1e-9);
  expect_values(gradient_values(better, settings), {0, -up / 3, -up / 3});
  EXPECT_EQ(stat(loss_of(better, settings), LossStats::kClipHigh), 1);
  const LossCase worse = make_loss_case({with_ratios({2.0, 0.5, 1.0}, -1.0)});
  const double down = std::exp(0.0977157269);
  EXPECT_NEAR(loss_value(worse, settings), down, 1e-9);
  expect_values(gradient_values(worse, settings), {down / 3, 0, down / 3});
  EXPECT_EQ(stat(loss_of(worse, settings), LossStats::kClipLow), 1);
}

TEST(Rec, leaves_out_what_the_clip_would_and_weighs_nothing_else) {
  const LossSettings settings = settings_for("rec");
  const LossCase better = make_loss_case({with_ratios({3.0, 0.1}, 1.0)});
  expect_values(gradient_values(better, settings), {0, -0.5});
  const LossCase worse = make_loss_case({with_ratios({3.0, 0.1}, -1.0)});
  expect_values(gradient_values(worse, settings), {0.5, 0});
  reference::Sequence injected = with_ratios({3.0}, 1.0);
  injected.is_injected = true;
  LossSettings free = settings;
  free.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  EXPECT_EQ(gradient_values(make_loss_case({injected}), free)[0], 0.0);
  free.injection.gt_clip = false;
  EXPECT_EQ(gradient_values(make_loss_case({injected}), free)[0], -1.0);
}

TEST(Opmd, divides_the_gain_or_pulls_back_to_the_old_policy) {
  const LossCase loss_case = make_loss_case({with_ratios({2.0, 1.0}, 1.0)});
  LossSettings settings = settings_for("opmd");
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
  expect_values(gradient_values(loss_case, settings), {-0.5, -0.5});
  settings.algorithm.params["loss"] = {{"tau", 0}, {"b", 0.5}};
  // b (l - l_old) = 0.5 log 2 a token, and the value is b / 2 (log 2)^2 = 0.1201132535.
  expect_values(gradient_values(loss_case, settings), {-0.6534264097, -0.6534264097});
  EXPECT_NEAR(loss_value(loss_case, settings), 4 - std::log(2.0) + 0.1201132535, 1e-9);
}

TEST(Srft, weighs_by_the_entropy_of_the_sequence) {
  const auto gradient = [](double advantage, bool is_injected, const core::Json& params) {
    const LossCase loss_case = make_loss_case({{.policy = {-1, -2},
                                                .old = {-1, -2},
                                                .ref = {},
                                                .entropy = {0.5, 1.5},
                                                .advantage = advantage,
                                                .is_injected = is_injected}});
    LossSettings settings = settings_for("srft", params);
    settings.algorithm.aggregation = Aggregation::kSeqMeanTokenSum;
    return gradient_values(loss_case, settings)[0];
  };
  const core::Json none = core::Json::object();
  EXPECT_NEAR(gradient(2.0, true, none), -2 - 0.5 * 0.3678794412, 1e-10);
  EXPECT_NEAR(gradient(0.0, true, none), -0.5 * 0.3678794412, 1e-10);
  EXPECT_NEAR(gradient(1.0, false, none), -0.2718281828, 1e-10);
  EXPECT_NEAR(gradient(1.0, false, {{"rl_grows", false}}), -0.0367879441, 1e-10);
  EXPECT_NEAR(gradient(-1.0, false, none), 1.0, 1e-12);
}

// gamma = 1/2: F = (log 2 - 0.5 log 2, -log 2), exp F = (sqrt 2, 1/2).
TEST(Fipo, a_token_is_weighed_with_its_discounted_future) {
  const LossCase loss_case = make_loss_case({with_ratios({2.0, 0.5}, 1.0)});
  const core::Json wide = {{"half_life", 1}, {"range", 1.0}, {"high_only", false}};
  expect_values(gradient_values(loss_case, settings_for("fipo", wide)), {0, -0.5 * 0.5 / 2});
  EXPECT_NEAR(loss_value(loss_case, settings_for("fipo", wide)),
              -(1.2 * 1.4142135624 + 0.5 * 0.5) / 2,
              1e-9);
  const core::Json narrow = {{"half_life", 1}};  // weights 1.2 and 1
  EXPECT_NEAR(loss_value(loss_case, settings_for("fipo", narrow)), -(1.2 * 1.2 + 0.5) / 2, 1e-12);
}

TEST(Fipo, the_future_ends_with_the_sequence_and_reaches_over_all_of_it) {
  const core::Json wide = {{"half_life", 1}, {"range", 1.0}, {"high_only", false}};
  // exp F_0 = 1.1^(1 + 1/2 + 1/4 + 1/8 + 1/16) of five tokens; the next sequence has no say.
  const LossCase loss_case =
      make_loss_case({with_ratios({1.1, 1.1, 1.1, 1.1, 1.1}, 1.0), with_ratios({0.1}, 0.0)});
  const auto gradient = gradient_values(loss_case, settings_for("fipo", wide));
  EXPECT_NEAR(gradient[0], -1.1 * std::pow(1.1, 1.9375) / 10, 1e-12);
  EXPECT_NEAR(gradient[3], -1.1 * std::pow(1.1, 1.5) / 10, 1e-12);
  EXPECT_NEAR(gradient[4], -1.1 * 1.1 / 10, 1e-12);
}

TEST(Fipo, unsafe_tokens_are_never_enlarged_and_dual_clipped_ones_have_no_say) {
  const LossCase loss_case = make_loss_case({with_ratios({1.0, 5.0}, -1.0)});
  LossSettings settings = settings_for("fipo", {{"half_life", 1}});
  // exp F = (5^0.5, 5) -> 1.2 for the first; the second is unsafe: 1.
  expect_values(gradient_values(loss_case, settings), {1.2 / 2, 5.0 / 2});
  settings.algorithm.clip_dual = 3.0;  // its ratio of 5 counts 0
  EXPECT_NEAR(loss_value(loss_case, settings), (1.0 + 3.0) / 2, 1e-12);
}

}  // namespace
}  // namespace sgrpo::algorithm
