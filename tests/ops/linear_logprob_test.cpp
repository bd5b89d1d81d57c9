// The output layer against its slow twin.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "reference/linear_logprob.h"
#include "sgrpo/core/error.h"
#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::random_ids;
using sgrpo::testing::random_normal;
using sgrpo::testing::refusal;
using sgrpo::testing::tolerance_for;
using torch::autograd::variable_list;

struct Case {
  int64_t rows, dims, vocab;
  std::vector<int64_t> masked;
  double temperature;
};

struct Inputs {
  at::Tensor hidden, weight, labels, masked;  // floating ones f64
  at::Tensor grad_logprobs, grad_entropy;
};

/// Labels are never masked: what is scored was sampled or is an answer.
Inputs random_inputs(const Case& c, uint64_t seed) {
  Inputs in;
  in.hidden = random_normal({c.rows, c.dims}, seed);
  in.weight = random_normal({c.vocab, c.dims}, seed + 1) / std::sqrt(static_cast<double>(c.dims));
  in.masked = c.masked.empty() ? at::empty({0}, at::kLong) : at::tensor(c.masked, at::kLong);
  in.labels = random_ids({c.rows}, c.vocab, seed + 2);
  for (const int64_t id : c.masked) in.labels.masked_fill_(in.labels == id, c.vocab / 2);
  in.grad_logprobs = random_normal({c.rows}, seed + 3);
  in.grad_entropy = random_normal({c.rows}, seed + 4);
  return in;
}

enum class From { kLogprobs, kEntropy, kBoth };

/// {logprobs, entropy, grad_hidden, grad_weight}
template <class Layer>
variable_list run(
    const Layer& layer, const Inputs& in, double temperature, at::ScalarType dtype, From from) {
  const at::Tensor hidden = in.hidden.to(dtype).detach().requires_grad_();
  const at::Tensor weight = in.weight.to(dtype).detach().requires_grad_();
  const auto [logprobs, entropy] = layer(hidden, weight, in.labels, in.masked, temperature);
  variable_list outputs, grads;
  if (from != From::kEntropy) {
    outputs.push_back(logprobs);
    grads.push_back(in.grad_logprobs.to(logprobs.scalar_type()));
  }
  if (from != From::kLogprobs) {
    outputs.push_back(entropy);
    grads.push_back(in.grad_entropy.to(entropy.scalar_type()));
  }
  const variable_list slopes = torch::autograd::grad(outputs, {hidden, weight}, grads);
  return {logprobs.detach(), entropy.detach(), slopes[0], slopes[1]};
}

const char* const kNames[] = {"logprobs", "entropy", "grad_hidden", "grad_weight"};

TEST(LinearLogprob, matches_the_twin_with_masks_and_temperatures) {
  const std::vector<Case> cases = {{1, 1, 1, {}, 1.0},
                                   {3, 8, 17, {}, 1.0},
                                   {5, 16, 64, {0, 63}, 0.7},
                                   {7, 20, 1000, {1, 2, 3, 500}, 1.0},
                                   {2, 12, 3001, {3000}, 2.5},
                                   {40, 8, 300, {}, 0.3}};
  uint64_t seed = 0;
  for (const Case& c : cases) {
    const Inputs in = random_inputs(c, seed += 10);
    for (const From from : {From::kLogprobs, From::kEntropy, From::kBoth}) {
      const auto got = run(linear_logprob, in, c.temperature, at::kFloat, from);
      const auto expected = run(reference::linear_logprob, in, c.temperature, at::kDouble, from);
      for (size_t i = 0; i < 4; ++i) {
        // Logits carry the rounding of their product; tempered, it grows by 1/T, and the gradient
        // takes one more factor of 1/T and the size of the logits in the entropy's slope.
        const double size = std::max(1.0, expected[i].abs().max().item<double>());
        const double tempered = std::max(1.0, 1.0 / c.temperature);
        const int64_t length = c.dims + (i < 2 ? 1024 : c.vocab);
        expect_close(
            got[i],
            expected[i],
            tolerance_for(at::kFloat, length, 4.0 * size * tempered * tempered),
            core::str(
                kNames[i], ", vocabulary ", c.vocab, ", gradient from ", static_cast<int>(from)));
      }
    }
  }
}

TEST(LinearLogprob, hand_numbers_hold) {
  // Logits 0, ln 2, ln 5: probabilities 1/8, 2/8, 5/8.
  const at::Tensor hidden = at::ones({1, 1});
  const at::Tensor weight = at::tensor({0.0f, std::log(2.0f), std::log(5.0f)}).view({3, 1});
  const at::Tensor labels = at::tensor({1}, at::kLong), nobody = at::empty({0}, at::kLong);
  const auto [logprob, entropy] = linear_logprob(hidden, weight, labels, nobody, 1.0);
  EXPECT_NEAR(logprob.item<double>(), std::log(0.25), 3e-7);
  EXPECT_NEAR(entropy.item<double>(),
              -(0.125 * std::log(0.125) + 0.25 * std::log(0.25) + 0.625 * std::log(0.625)),
              3e-7);
  const auto [alone, none] =
      linear_logprob(hidden, weight, labels, at::tensor({0, 2}, at::kLong), 1.0);
  EXPECT_EQ(alone.item<float>(), 0.0f);
  EXPECT_EQ(none.item<float>(), 0.0f);
}

TEST(LinearLogprob, a_masked_id_gets_no_gradient) {
  const Case c{6, 8, 40, {4, 39}, 1.0};
  const auto got = run(linear_logprob, random_inputs(c, 5), 1.0, at::kFloat, From::kBoth);
  for (const int64_t id : c.masked) expect_bitwise_equal(got[3][id], at::zeros({8}));
}

/// As run(), with logits kept or recomputed whatever their size.
variable_list run_keeping(bool keep, const Inputs& in, double temperature, at::ScalarType dtype) {
  using Forward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
  using Backward = std::tuple<at::Tensor, at::Tensor>(const std::optional<at::Tensor>&,
                                                      const std::optional<at::Tensor>&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      const at::Tensor&,
                                                      double,
                                                      std::array<bool, 2>);
  auto& dispatcher = c10::Dispatcher::singleton();
  const auto forward =
      dispatcher.findSchemaOrThrow("sgrpo::linear_logprob_forward", "").typed<Forward>();
  const auto backward =
      dispatcher.findSchemaOrThrow("sgrpo::linear_logprob_backward", "").typed<Backward>();
  const at::Tensor hidden = in.hidden.to(dtype), weight = in.weight.to(dtype);
  const auto [logprobs, entropy, lse, logits] =
      forward.call(hidden, weight, in.labels, in.masked, temperature, keep);
  EXPECT_EQ(logits.numel(), keep ? hidden.size(0) * weight.size(0) : 0);
  const auto [grad_hidden, grad_weight] = backward.call(in.grad_logprobs.to(at::kFloat),
                                                        in.grad_entropy.to(at::kFloat),
                                                        hidden,
                                                        weight,
                                                        in.labels,
                                                        in.masked,
                                                        entropy,
                                                        lse,
                                                        logits,
                                                        temperature,
                                                        {true, true});
  return {logprobs, entropy, grad_hidden, grad_weight};
}

// The op recomputes logits where they are large and keeps them where they are small: a matrix
// product over other row counts may round differently, nothing else may change.
TEST(LinearLogprob, kept_and_recomputed_logits_agree) {
  // Chunks of 64 rows, tiles of 2^21 / 120 = 17,476 ids: the last ones are ragged.
  const Case c{120, 16, 40'000, {7, 17'475, 17'476, 39'999}, 0.8};
  const Inputs in = random_inputs(c, 77);
  const auto recomputed = run_keeping(false, in, c.temperature, at::kFloat),
             kept = run_keeping(true, in, c.temperature, at::kFloat);
  for (size_t i = 0; i < 4; ++i) {
    const double size = std::max(1.0, kept[i].abs().max().item<double>());
    expect_close(recomputed[i], kept[i], tolerance_for(at::kFloat, c.dims, 2.0 * size), kNames[i]);
  }
}

// Each gradient of the weight is one product, rounded once. Sums over chunks of rows in bfloat16
// would lose what is below a 256th of them: here all rows push the label's weight the same way.
TEST(LinearLogprob, bfloat16_gradients_of_many_rows_are_rounded_once) {
  Inputs in = random_inputs({6000, 8, 1200, {3, 900}, 1.0}, 19);
  in.hidden = in.hidden.abs();
  in.grad_logprobs = in.grad_logprobs.abs();
  in.grad_entropy.zero_();
  in.labels.fill_(1'199);
  for (at::Tensor* t : {&in.hidden, &in.weight}) *t = t->to(at::kBFloat16).to(at::kDouble);
  const auto expected = run(reference::linear_logprob, in, 1.0, at::kDouble, From::kLogprobs);
  for (const bool keep : {false, true}) {
    const auto got = run_keeping(keep, in, 1.0, at::kBFloat16);
    // Rounded: the logits, their gradients, and the result.
    for (size_t i = 2; i < 4; ++i)
      sgrpo::testing::expect_close_in_norm(got[i], expected[i], 3 * 0x1p-9, kNames[i]);
  }
}

TEST(LinearLogprob, two_runs_give_the_same_bits) {
  const Inputs in = random_inputs({33, 16, 5000, {9}, 1.0}, 3);
  const auto first = run(linear_logprob, in, 1.0, at::kFloat, From::kBoth);
  const auto second = run(linear_logprob, in, 1.0, at::kFloat, From::kBoth);
  for (size_t i = 0; i < 4; ++i) expect_bitwise_equal(first[i], second[i], kNames[i]);
}

TEST(LinearLogprob, without_gradient_gives_what_training_gives) {
  const Inputs in = random_inputs({9, 16, 500, {9}, 0.9}, 13);
  const auto trained = run(linear_logprob, in, 0.9, at::kFloat, From::kBoth);
  const at::NoGradGuard guard;
  const auto [logprobs, entropy] =
      linear_logprob(in.hidden.to(at::kFloat), in.weight.to(at::kFloat), in.labels, in.masked, 0.9);
  expect_bitwise_equal(logprobs, trained[0]);
  expect_bitwise_equal(entropy, trained[1]);
}

TEST(LinearLogprob, bfloat16_weights_give_float_results_and_bfloat16_gradients) {
  Inputs in = random_inputs({6, 32, 200, {3}, 1.0}, 17);
  for (at::Tensor* t : {&in.hidden, &in.weight}) *t = t->to(at::kBFloat16).to(at::kDouble);
  const auto got = run(linear_logprob, in, 1.0, at::kBFloat16, From::kBoth);
  const auto expected = run(reference::linear_logprob, in, 1.0, at::kDouble, From::kBoth);
  EXPECT_EQ(got[0].scalar_type(), at::kFloat);
  EXPECT_EQ(got[3].scalar_type(), at::kBFloat16);
  // A bf16 product rounds the logits (about 4 at most) to 8 bits; lse moves by as much.
  for (size_t i = 0; i < 2; ++i) expect_close(got[i], expected[i], 2 * 4.0 * 0x1p-8, kNames[i]);
  for (size_t i = 2; i < 4; ++i)
    sgrpo::testing::expect_close_in_norm(got[i], expected[i], 4 * 0x1p-8, kNames[i]);
}

TEST(LinearLogprob, no_rows_give_empty_results) {
  const at::Tensor hidden = at::empty({0, 4}).requires_grad_(),
                   weight = at::ones({5, 4}).requires_grad_();
  const at::Tensor none = at::empty({0}, at::kLong);
  const auto [logprobs, entropy] = linear_logprob(hidden, weight, none, none, 1.0);
  EXPECT_EQ(logprobs.sizes(), (at::IntArrayRef{0}));
  const auto grads = torch::autograd::grad({logprobs.sum() + entropy.sum()}, {hidden, weight});
  expect_bitwise_equal(grads[1], at::zeros({5, 4}));
}

TEST(LinearLogprob, broken_arguments_are_named) {
  const at::Tensor hidden = at::zeros({2, 4}), weight = at::zeros({5, 4});
  const at::Tensor labels = at::zeros({2}, at::kLong), none = at::empty({0}, at::kLong);
  const auto error = [&](const at::Tensor& x,
                         const at::Tensor& w,
                         const at::Tensor& ids,
                         const at::Tensor& masked,
                         double temperature) {
    return refusal([&] { linear_logprob(x, w, ids, masked, temperature); });
  };
  EXPECT_EQ(error(hidden, weight, labels, none, 1.0), "");
  EXPECT_EQ(error(hidden[0], weight, labels, none, 1.0), "hidden has shape [4], expected [M, D]");
  EXPECT_EQ(error(hidden, weight.t(), labels, none, 1.0),
            "weight has shape [4, 5], expected [V, D] with D = 4");
  EXPECT_EQ(error(hidden, weight, labels.slice(0, 0, 1), none, 1.0),
            "labels must be contiguous [M] i64 with M = 2");
  EXPECT_EQ(error(hidden, weight, at::zeros({2, 2}, at::kLong).select(1, 0), none, 1.0),
            "labels must be contiguous [M] i64 with M = 2");
  EXPECT_EQ(error(hidden, weight, labels + 5, none, 1.0), "labels are outside [0, 5)");
  EXPECT_EQ(error(hidden, weight, labels - 1, none, 1.0), "labels are outside [0, 5)");
  EXPECT_EQ(error(hidden, weight, labels, none, 0.0), "temperature is 0, expected > 0");
  EXPECT_EQ(error(hidden, weight, labels, none.view({0, 1}), 1.0),
            "masked_ids has shape [0, 1], expected [Z] i64");
}

TEST(LinearLogprob, second_derivatives_are_refused) {
  const at::Tensor hidden = at::ones({1, 2}).requires_grad_();
  const at::Tensor none = at::empty({0}, at::kLong);
  const auto result =
      linear_logprob(hidden, at::ones({3, 2}), at::zeros({1}, at::kLong), none, 1.0);
  EXPECT_EQ(refusal([&] {
              torch::autograd::grad({std::get<0>(result).sum()}, {hidden}, {}, true, true);
            }),
            "linear_logprob has no second derivative: backward with create_graph is refused");
}

}  // namespace
}  // namespace sgrpo::ops
