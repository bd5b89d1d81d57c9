// Norm, rotary and SwiGLU against their slow twins.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "reference/layers.h"
#include "sgrpo/core/error.h"
#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::random_normal;
using sgrpo::testing::refusal;
using sgrpo::testing::tolerance_for;
using torch::autograd::variable_list;

/// The result and the gradients of the inputs; inputs and grad are f64, computed in `dtype`.
template <class Layer>
variable_list run(const Layer& layer,
                  variable_list inputs,
                  const at::Tensor& grad,
                  at::ScalarType dtype) {
  for (at::Tensor& x : inputs) x = x.to(dtype).detach().requires_grad_();
  const at::Tensor out = layer(inputs);
  variable_list result = torch::autograd::grad({out}, inputs, {grad.to(dtype)});
  result.insert(result.begin(), out.detach());
  return result;
}

void expect_all_close(const variable_list& got,
                      const variable_list& expected,
                      int64_t length,
                      const std::string& what) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double size = 1.0 + expected[i].abs().max().item<double>();
    expect_close(got[i],
                 expected[i],
                 tolerance_for(got[i].scalar_type(), length, 2.0 * size),
                 core::str(what, ", result ", i));
  }
}

TEST(RmsNorm, matches_the_twin) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const auto& [rows, width] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 7}, {5, 16}, {70, 33}, {2000, 48}}) {
      const at::Tensor x = random_normal({rows, width}, 1) * 0.1,
                       weight = random_normal({width}, 2) + 1.0;
      const at::Tensor grad = random_normal({rows, width}, 3);
      const auto got = run([](const variable_list& in) { return rms_norm(in[0], in[1], 1e-3); },
                           {x, weight},
                           grad,
                           dtype);
      const auto expected =
          run([](const variable_list& in) { return reference::rms_norm(in[0], in[1], 1e-3); },
              {x, weight},
              grad,
              at::kDouble);
      expect_all_close(got, expected, width + rows, core::str(rows, "x", width));
    }
  }
}

TEST(RmsNorm, heads_and_strided_rows_are_rows) {
  const at::Tensor wide = random_normal({6, 3, 2, 8}, 4).to(at::kFloat),
                   weight = random_normal({8}, 5).to(at::kFloat);
  const at::Tensor view = wide.select(1, 1);
  expect_bitwise_equal(rms_norm(view, weight, 1e-6), rms_norm(view.contiguous(), weight, 1e-6));
}

TEST(RmsNorm, bfloat16_rounds_before_the_weight) {
  const at::Tensor x = random_normal({4, 32}, 6).to(at::kBFloat16),
                   weight = random_normal({32}, 7).to(at::kBFloat16);
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor normed =
      (wide * at::rsqrt(wide.square().mean(-1, true) + 1e-6)).to(at::kBFloat16);
  expect_bitwise_equal(rms_norm(x, weight, 1e-6), normed * weight);
}

TEST(Rotate, matches_the_twin_and_turns_back_in_the_backward) {
  for (const int64_t head_dim : {2, 8, 20, 32, 80}) {
    const at::Tensor x = random_normal({9, 3, head_dim}, 1),
                     angle = random_normal({9, head_dim / 2}, 2) * 10.0;
    const at::Tensor grad = random_normal({9, 3, head_dim}, 3);
    const at::Tensor cos = angle.cos().to(at::kFloat), sin = angle.sin().to(at::kFloat);
    const auto got = run(
        [&](const variable_list& in) { return rotate(in[0], cos, sin); }, {x}, grad, at::kFloat);
    const auto expected = run(
        [&](const variable_list& in) {
          return reference::rotate(in[0], cos.to(at::kDouble), sin.to(at::kDouble));
        },
        {x},
        grad,
        at::kDouble);
    expect_all_close(got, expected, 2, core::str("head_dim ", head_dim));
  }
}

TEST(Rotate, takes_the_heads_of_a_stacked_projection) {
  const at::Tensor qkv = random_normal({5, 3, 2, 12}, 1).to(at::kFloat),
                   angle = random_normal({5, 6}, 2).to(at::kFloat);
  expect_bitwise_equal(rotate(qkv.select(1, 1), angle.cos(), angle.sin()),
                       rotate(qkv.select(1, 1).contiguous(), angle.cos(), angle.sin()));
}

TEST(Rotate, refuses_odd_heads_and_foreign_angles) {
  const at::Tensor x = at::zeros({4, 1, 6}), angle = at::zeros({4, 3});
  const auto error = [](const at::Tensor& t, const at::Tensor& a) {
    return refusal([&] { rotate(t, a, a); });
  };
  EXPECT_EQ(error(x, angle), "");
  EXPECT_EQ(error(at::zeros({4, 1, 5}), angle),
            "x has shape [4, 1, 5], expected [T, heads, even E]");
  EXPECT_EQ(error(x, at::zeros({3, 3})), "cos and sin must be contiguous [T, E/2] with T = 4");
}

TEST(Swiglu, matches_the_twin_from_deep_negative_to_large) {
  const at::Tensor gate = random_normal({7, 37}, 1) * 8.0, up = random_normal({7, 37}, 2),
                   grad = random_normal({7, 37}, 3);
  const auto got = run(
      [](const variable_list& in) { return swiglu(in[0], in[1]); }, {gate, up}, grad, at::kFloat);
  const auto expected = run([](const variable_list& in) { return reference::swiglu(in[0], in[1]); },
                            {gate, up},
                            grad,
                            at::kDouble);
  expect_all_close(got, expected, 4, "swiglu");
}

// Both ends lie beyond the range of the vector exp; sixteen lanes and a rest, so both loops run.
TEST(Swiglu, saturates_far_from_zero) {
  const at::Tensor ends = at::tensor({-1e30f, -200.0f, -88.0f, 0.0f, 88.0f, 1e30f})
                              .repeat({1, 3})
                              .detach()
                              .requires_grad_();
  const at::Tensor limit = at::tensor({0.0f, 0.0f, 0.0f, 0.0f, 88.0f, 1e30f}).repeat({1, 3});
  const at::Tensor slope = at::tensor({0.0f, 0.0f, 0.0f, 0.5f, 1.0f, 1.0f}).repeat({1, 3});
  const at::Tensor out = swiglu(ends, at::ones({1, 18}));
  // sigmoid is held at exp(-80) = 2e-35 from -80 down.
  expect_close(out / (1.0f + ends.abs()), limit / (1.0f + ends.abs()), 2e-35);
  expect_close(torch::autograd::grad({out.sum()}, {ends})[0] / (1.0f + ends.abs()),
               slope / (1.0f + ends.abs()),
               2e-35);
}

TEST(Swiglu, takes_the_halves_of_one_projection) {
  const at::Tensor both = random_normal({6, 40}, 1).to(at::kFloat);
  const auto halves = both.split_with_sizes({20, 20}, 1);
  expect_bitwise_equal(swiglu(halves[0], halves[1]),
                       swiglu(halves[0].contiguous(), halves[1].contiguous()));
  EXPECT_EQ(refusal([&] { swiglu(both, halves[0]); }), "gate has shape [6, 40], up [6, 20]");
}

TEST(Layers, second_derivatives_are_refused) {
  const at::Tensor x = at::ones({2, 4}).requires_grad_();
  EXPECT_EQ(refusal([&] { torch::autograd::grad({swiglu(x, x).sum()}, {x}, {}, true, true); }),
            "swiglu has no second derivative: backward with create_graph is refused");
}

/// A layer of two inputs, and how often its result is rounded to bfloat16.
struct Bf16Layer {
  const char* name;
  at::Tensor (*fast)(const variable_list&);
  at::Tensor (*slow)(const variable_list&);
  int roundings;
};

/// cos and sin of fixed angles for 21 rows of heads of 36.
std::pair<at::Tensor, at::Tensor> angles() {
  const at::Tensor angle = random_normal({21, 18}, 2) * 10.0;
  return {angle.cos().to(at::kFloat), angle.sin().to(at::kFloat)};
}

std::vector<Bf16Layer> bf16_layers() {
  return {{"rms_norm",
           [](const variable_list& in) { return rms_norm(in[0], in[1][0], 1e-6); },
           [](const variable_list& in) { return reference::rms_norm(in[0], in[1][0], 1e-6); },
           2},
          {"rotate",
           [](const variable_list& in) {
             return rotate((in[0] + 0 * in[1]).view({21, 1, 36}), angles().first, angles().second);
           },
           [](const variable_list& in) {
             return reference::rotate(
                 (in[0] + 0 * in[1]).view({21, 1, 36}), angles().first, angles().second);
           },
           1},
          {"swiglu",
           [](const variable_list& in) { return swiglu(in[0], in[1]); },
           [](const variable_list& in) { return reference::swiglu(in[0], in[1]); },
           1}};
}

TEST(Bf16Layers, results_and_gradients_are_those_of_float32_rounded) {
  for (const Bf16Layer& layer : bf16_layers()) {
    variable_list inputs = {random_normal({21, 36}, 1), random_normal({21, 36}, 4)};
    for (at::Tensor& x : inputs) x = x.to(at::kBFloat16).to(at::kDouble);
    at::Tensor grad = random_normal({21, 36}, 3).to(at::kBFloat16).to(at::kDouble);
    if (std::string(layer.name) == "rotate") grad = grad.view({21, 1, 36});
    const auto got = run(layer.fast, inputs, grad, at::kBFloat16);
    const auto expected = run(layer.slow, inputs, grad, at::kDouble);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(got[i].scalar_type(), at::kBFloat16);
      const double largest = expected[i].abs().max().item<double>();
      expect_close(got[i],
                   expected[i],
                   layer.roundings * 1.01 * 0x1p-8 * largest,
                   core::str(layer.name, ", result ", i));
    }
  }
}

TEST(Bf16Layers, a_row_alone_has_the_bits_that_it_has_among_others) {
  const at::Tensor x = random_normal({64, 300}, 1).to(at::kBFloat16),
                   y = random_normal({64, 300}, 2).to(at::kBFloat16), weight = y[0];
  for (int64_t row = 0; row < 64; row += 7) {
    const at::Tensor one = x.slice(0, row, row + 1), other = y.slice(0, row, row + 1);
    expect_bitwise_equal(rms_norm(one, weight, 1e-6),
                         rms_norm(x, weight, 1e-6).slice(0, row, row + 1));
    expect_bitwise_equal(swiglu(one, other), swiglu(x, y).slice(0, row, row + 1));
  }
}

TEST(Bf16Layers, what_is_not_a_number_stays_so) {
  at::Tensor gate = at::ones({1, 40}, at::kBFloat16);
  for (const int64_t place : {3, 39})  // in a vector and behind the last one
    gate[0][place] = std::nan("");
  const at::Tensor bad = at::isnan(swiglu(gate, at::ones({1, 40}, at::kBFloat16)));
  EXPECT_EQ(bad.sum().item<int64_t>(), 2);
}

}  // namespace
}  // namespace sgrpo::ops
