#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reference/adamw.h"
#include "sgrpo/core/error.h"
#include "sgrpo/optim/optimizer.h"

namespace sgrpo::optim {
namespace {

using Parameters = std::vector<std::pair<std::string, at::Tensor>>;

OptimOptions options_with(double weight_decay, double max_grad_norm) {
  OptimOptions options;
  options.betas = {0.9, 0.99};
  options.weight_decay = weight_decay;
  options.max_grad_norm = max_grad_norm;
  return options;
}

/// A deterministic leaf: sin(seed + i) in `dtype`.
at::Tensor leaf(at::IntArrayRef shape, double seed, at::ScalarType dtype = at::kFloat) {
  const int64_t size = c10::multiply_integers(shape);
  const at::Tensor values = (at::arange(size, at::kDouble) + seed).sin().view(shape);
  const at::Tensor result = values.to(dtype).requires_grad_();
  if (dtype != at::kDouble) result.set_grad_dtype(at::kFloat);
  return result;
}

void set_grad(const at::Tensor& parameter, const at::Tensor& value) {
  at::Tensor target = parameter;
  target.mutable_grad() = value.to(parameter.grad_dtype().value()).clone();
}

std::vector<double> doubles(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous().view(-1);
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

/// What torch.optim.AdamW 2.11 gives in float64 for the run below (clip_grad_norm_ to 3, lr 0.01,
/// betas 0.9 and 0.99, weight decay 0.1 on the matrix).
constexpr double kTorchNorms[5] = {
    4.616546328154847, 6.041522986797286, 7.862092596758194, 9.86154146165801, 11.95041840271712};
constexpr double kTorchValues[5][6] = {{0.4895000001538849,
                                        -1.2387500000769425,
                                        1.998,
                                        -0.009999999384460395,
                                        0.9900000003077698,
                                        -2.990000000038471},
                                       {0.4791241895745846,
                                        -1.2276249394388765,
                                        1.996002,
                                        -0.01987630961116766,
                                        0.9891959421565523,
                                        -2.989195941862906},
                                       {0.4687196627814005,
                                        -1.216471911843785,
                                        1.994005998,
                                        -0.02978183559290782,
                                        0.985925289400203,
                                        -2.9859252889965195},
                                       {0.4582676498527277,
                                        -1.2052721466174363,
                                        1.992011992002,
                                        -0.03973534673152502,
                                        0.9852471160448513,
                                        -2.9852471156161693},
                                       {0.44777285401049655,
                                        -1.1940303462318604,
                                        1.990019980009998,
                                        -0.04973213929769112,
                                        0.9832940534281283,
                                        -2.9832940529214964}};

TEST(AdamW, step_five_times_in_double_equals_torch) {
  const at::Tensor matrix =
      at::tensor({0.5, -1.25, 2.0, 0.0}, at::kDouble).view({2, 2}).requires_grad_();
  const at::Tensor vector = at::tensor({1.0, -3.0}, at::kDouble).requires_grad_();
  AdamW optimizer({{"matrix", matrix}, {"vector", vector}}, options_with(0.1, 3.0));
  for (int t = 0; t < 5; ++t) {
    set_grad(matrix, at::tensor({1.0, -2.0, 0.0, 0.25}, at::kDouble).view({2, 2}) * (t + 1));
    set_grad(vector, at::tensor({0.5, -4.0}, at::kDouble) * (t % 2 == 0 ? 1 : -1));
    const OptimizerStep step = optimizer.step(0.01);
    EXPECT_NEAR(step.grad_norm, kTorchNorms[t], 1e-13 * kTorchNorms[t]);
    EXPECT_FALSE(step.skipped);
    const std::vector<double> values = doubles(at::cat({matrix.view(-1), vector}));
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(values[i], kTorchValues[t][i], 1e-14) << t << i;
  }
  EXPECT_EQ(optimizer.count(), 5);
}

struct Case {
  const char* name;
  at::ScalarType dtype;
  double max_grad_norm;
  double tolerance;  // of a value of size 1 after 5 steps
};

class AdamWTwin : public ::testing::TestWithParam<Case> {};

TEST_P(AdamWTwin, step_five_times_equals_loops_in_double) {
  const Case& c = GetParam();
  const Parameters parameters = {{"a", leaf({3, 5}, 0.0, c.dtype)},
                                 {"b", leaf({7}, 2.0, c.dtype)},
                                 {"c", leaf({2, 3, 4}, 5.0, c.dtype)},
                                 {"empty", leaf({0, 4}, 0.0, c.dtype)}};
  reference::AdamW twin;
  twin.beta2 = 0.99;
  twin.max_grad_norm = c.max_grad_norm;
  for (const auto& [name, p] : parameters) twin.add(doubles(p), p.dim() >= 2 ? 0.05 : 0.0);
  AdamW optimizer(parameters, options_with(0.05, c.max_grad_norm));
  for (int t = 0; t < 5; ++t) {
    std::vector<std::vector<double>> grads;
    for (const auto& [name, p] : parameters) {
      set_grad(p, leaf(p.sizes(), 10.0 * t + 1.0).detach() * 0.7);
      grads.push_back(doubles(p.grad()));
    }
    const double norm = twin.step(grads, 1e-2);
    EXPECT_NEAR(optimizer.step(1e-2).grad_norm, norm, 1e-12 * norm);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::vector<double> values = doubles(parameters[i].second);
    for (size_t j = 0; j < values.size(); ++j) {
      EXPECT_NEAR(values[j], twin.parameters[i].value[j], c.tolerance) << parameters[i].first << j;
    }
  }
}

// f32: 5 steps of about 8 roundings of values below 2 (2^-24 each), and the relative error of a
// step of size lr. bf16: the master copy is f32, the value shown is rounded once (2^-9 of 1).
INSTANTIATE_TEST_SUITE_P(all,
                         AdamWTwin,
                         ::testing::Values(Case{"f32_clipped", at::kFloat, 0.5, 2.5e-6},
                                           Case{"f32_clip_off", at::kFloat, 0.0, 2.5e-6},
                                           Case{"f32_clip_not_reached", at::kFloat, 1e6, 2.5e-6},
                                           Case{"f64_clipped", at::kDouble, 0.5, 1e-14},
                                           Case{"bf16_clipped", at::kBFloat16, 0.5, 2.0e-3},
                                           Case{"f16_clip_off", at::kHalf, 0.0, 2.5e-4}),
                         [](const auto& row) { return row.param.name; });

TEST(AdamW, step_bf16_below_its_resolution_accumulates_in_the_master_copy) {
  const at::Tensor p = at::ones({4}, at::kBFloat16).requires_grad_();
  p.set_grad_dtype(at::kFloat);
  AdamW optimizer({{"p", p}}, options_with(0.0, 0.0));
  // bf16 near 1 resolves 2^-8 = 3.9e-3 below it 2^-9; 40 steps of 1e-4 make 4e-3.
  for (int t = 0; t < 40; ++t) {
    set_grad(p, at::ones({4}));
    optimizer.step(1e-4);
  }
  EXPECT_NEAR(p[0].item<double>(), 1.0 - 4e-3, 2.0e-3);
  EXPECT_LT(p[0].item<double>(), 1.0);
  EXPECT_NEAR(optimizer.state()[3].second[0].item<double>(), 1.0 - 4e-3, 3e-6);
}

// Each pass adds 2^-8 (1 + 2^-7): 9 bits, so that the sum of 900 is exact in float32, 18 digits or
// less. In bfloat16 it would stand still at 1, and the norm of four such numbers at 2.
TEST(AdamW, bf16_gradients_of_many_passes_are_summed_in_float32) {
  const at::Tensor p = leaf({2, 2}, 1.0, at::kBFloat16);
  AdamW optimizer({{"p", p}}, options_with(0.0, 0.0));
  const double each = std::ldexp(1.0 + std::ldexp(1.0, -7), -8);
  for (int update = 0; update < 2; ++update) {
    optimizer.zero_grad();
    const void* buffer = p.grad().data_ptr();
    for (int pass = 0; pass < 900; ++pass) (p * each).sum().backward();
    EXPECT_EQ(p.grad().data_ptr(), buffer);
    EXPECT_EQ(optimizer.step(0.0).grad_norm, 2 * 900 * each);
  }
}

TEST(AdamW, step_with_zero_gradient_only_decays_matrices) {
  const at::Tensor matrix = leaf({2, 2}, 1.0, at::kDouble), vector = leaf({2}, 1.0, at::kDouble);
  const at::Tensor matrix_before = matrix.detach().clone();
  const at::Tensor vector_before = vector.detach().clone();
  AdamW optimizer({{"m", matrix}, {"v", vector}}, options_with(0.5, 1.0));
  optimizer.zero_grad();
  EXPECT_EQ(optimizer.step(0.1).grad_norm, 0.0);
  EXPECT_TRUE(at::equal(matrix, matrix_before * (1.0 - 0.1 * 0.5)));
  EXPECT_TRUE(at::equal(vector, vector_before));
}

TEST(AdamW, step_with_weight_decay_on_all_decays_vectors_too) {
  const at::Tensor vector = leaf({2}, 1.0, at::kDouble);
  const at::Tensor before = vector.detach().clone();
  OptimOptions options = options_with(0.5, 1.0);
  options.weight_decay_on = WeightDecayOn::kAll;
  AdamW optimizer({{"v", vector}}, options);
  optimizer.step(0.1);  // a missing gradient counts as zero
  EXPECT_TRUE(at::equal(vector, before * (1.0 - 0.1 * 0.5)));
}

TEST(AdamW, step_clips_in_place_to_the_norm) {
  const at::Tensor p = leaf({2}, 0.0);
  AdamW optimizer({{"p", p}}, options_with(0.0, 1.0));
  set_grad(p, at::tensor({3.0, 4.0}));
  EXPECT_NEAR(optimizer.step(0.0).grad_norm, 5.0, 1e-15);
  EXPECT_NEAR(p.grad()[0].item<double>(), 0.6, 3e-7);  // 1/(5 + 1e-6), then f32
  EXPECT_NEAR(p.grad()[1].item<double>(), 0.8, 3e-7);
}

TEST(AdamW, step_with_nonfinite_gradient_changes_nothing_and_names_the_tensor) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    const Parameters parameters = {{"first", leaf({3}, 0.0)}, {"second", leaf({2, 2}, 1.0)}};
    AdamW optimizer(parameters, options_with(0.1, 1.0));
    for (const auto& [name, p] : parameters) set_grad(p, at::ones(p.sizes()));
    optimizer.step(0.1);
    std::vector<at::Tensor> before;
    for (const auto& [name, tensor] : optimizer.state()) before.push_back(tensor.clone());
    const at::Tensor value = parameters[1].second.detach().clone();

    set_grad(parameters[1].second, at::full({2, 2}, bad));
    const OptimizerStep step = optimizer.step(0.1);
    EXPECT_TRUE(step.skipped);
    EXPECT_FALSE(std::isfinite(step.grad_norm));
    EXPECT_EQ(step.bad_tensor, "second");
    EXPECT_EQ(optimizer.count(), 1);
    const auto after = optimizer.state();
    for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(at::equal(after[i].second, before[i]));
    EXPECT_TRUE(at::equal(parameters[1].second, value));
  }
}

TEST(AdamW, step_with_large_finite_gradient_is_not_skipped) {
  const at::Tensor p = leaf({2}, 0.0);
  AdamW optimizer({{"p", p}}, options_with(0.0, 1.0));
  set_grad(p, at::full({2}, 1e30));  // its square overflows f32
  const OptimizerStep step = optimizer.step(0.1);
  EXPECT_FALSE(step.skipped);
  EXPECT_NEAR(step.grad_norm, std::sqrt(2.0) * 1e30, 1e24);
}

TEST(AdamW, norm_of_many_equal_gradients_is_exact) {
  // Sequential f32 sums of 2^22 equal squares drift in the fourth digit.
  const at::Tensor p = at::zeros({int64_t{1} << 22}).requires_grad_();
  AdamW optimizer({{"p", p}}, options_with(0.0, 0.0));
  set_grad(p, at::full({int64_t{1} << 22}, 0.1));
  EXPECT_NEAR(optimizer.step(0.0).grad_norm, static_cast<double>(0.1f) * 2048.0, 1e-9);
}

TEST(AdamW, zero_grad_keeps_the_buffers) {
  const at::Tensor p = leaf({2, 3}, 0.0);
  AdamW optimizer({{"p", p}}, options_with(0.0, 1.0));
  optimizer.zero_grad();
  const void* address = p.grad().data_ptr();
  (p * p).sum().backward();
  EXPECT_TRUE(at::equal(p.grad(), 2 * p.detach()));
  EXPECT_EQ(p.grad().data_ptr(), address);
  optimizer.zero_grad();
  EXPECT_EQ(p.grad().data_ptr(), address);
  EXPECT_EQ(p.grad().abs().sum().item<double>(), 0.0);
}

TEST(AdamW, step_with_transposed_gradient_pairs_the_right_elements) {
  const at::Tensor plain = leaf({2, 3}, 0.0), other = leaf({2, 3}, 0.0);
  const at::Tensor grad = at::arange(6, at::kFloat).view({2, 3});
  AdamW first({{"p", plain}}, options_with(0.0, 1.0)),
      second({{"p", other}}, options_with(0.0, 1.0));
  set_grad(plain, grad);
  at::Tensor target = other;
  target.mutable_grad() = grad.t().contiguous().t();
  first.step(0.1);
  second.step(0.1);
  EXPECT_TRUE(at::equal(plain, other));
}

class AdamWState : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(AdamWState, load_after_save_continues_bit_for_bit) {
  const auto make = [] {
    return Parameters{{"a", leaf({3, 5}, 0.0, GetParam())}, {"b", leaf({7}, 2.0, GetParam())}};
  };
  const auto advance = [](AdamW& optimizer, const Parameters& parameters, int t) {
    for (const auto& [name, p] : parameters) set_grad(p, leaf(p.sizes(), 3.0 * t).detach());
    optimizer.step(1e-3);
  };
  const OptimOptions options = options_with(0.1, 1.0);
  const Parameters whole = make(), resumed = make();
  AdamW first(whole, options);
  for (int t = 0; t < 3; ++t) advance(first, whole, t);
  Parameters saved;
  for (const auto& [name, tensor] : first.state()) saved.emplace_back(name, tensor.clone());

  AdamW second(resumed, options);
  for (size_t i = 0; i < whole.size(); ++i) {
    resumed[i].second.detach().copy_(whole[i].second.detach());
  }
  second.load_state(saved);
  EXPECT_EQ(second.count(), 3);
  for (int t = 3; t < 6; ++t) {
    advance(first, whole, t);
    advance(second, resumed, t);
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(at::equal(whole[i].second, resumed[i].second)) << whole[i].first;
  }
  const auto expected = first.state(), got = second.state();
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].first, expected[i].first);
    EXPECT_TRUE(at::equal(got[i].second, expected[i].second)) << got[i].first;
  }
}

INSTANTIATE_TEST_SUITE_P(all,
                         AdamWState,
                         ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& row) { return std::string(c10::toString(row.param)); });

#define EXPECT_THAT_CONTAINS(text, part)                     \
  do {                                                       \
    const std::string text_ = text;                          \
    EXPECT_NE(text_.find(part), std::string::npos) << text_; \
  } while (false)

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(AdamW, load_state_that_does_not_fit_is_refused_and_changes_nothing) {
  const at::Tensor p = leaf({2, 3}, 0.0);
  AdamW optimizer({{"p", p}}, options_with(0.0, 1.0));
  const Parameters good = {{"count", at::scalar_tensor(4, at::kLong)},
                           {"exp_avg.p", at::ones({2, 3})},
                           {"exp_avg_sq.p", at::ones({2, 3})}};
  const auto load = [&](auto change) {
    Parameters state = good;
    change(state);
    return message_of([&] { optimizer.load_state(state); });
  };
  EXPECT_THAT_CONTAINS(load([](Parameters& s) { s.pop_back(); }), "has no tensor 'exp_avg_sq.p'");
  EXPECT_THAT_CONTAINS(load([](Parameters& s) {
                         s[1].second = at::ones({3, 2});
                       }),
                       "tensor 'exp_avg.p' is Float [3, 2], expected Float [2, 3]");
  EXPECT_THAT_CONTAINS(load([](Parameters& s) {
                         s[2].second = at::ones({2, 3}, at::kDouble);
                       }),
                       "tensor 'exp_avg_sq.p' is Double [2, 3], expected Float [2, 3]");
  EXPECT_THAT_CONTAINS(load([](Parameters& s) { s.emplace_back("exp_avg.q", at::ones({1})); }),
                       "'exp_avg.q', which belongs to no trained parameter");
  EXPECT_THAT_CONTAINS(load([](Parameters& s) { s[0].second = at::scalar_tensor(-1, at::kLong); }),
                       "count is -1");
  EXPECT_EQ(optimizer.count(), 0);
  EXPECT_EQ(optimizer.state()[1].second.abs().sum().item<double>(), 0.0);
  optimizer.load_state(good);
  EXPECT_EQ(optimizer.count(), 4);
}

TEST(AdamW, make_with_bad_parameters_is_refused) {
  const OptimOptions options = options_with(0.0, 1.0);
  const at::Tensor p = leaf({2}, 0.0);
  EXPECT_THROW(AdamW({{"p", p}, {"p", leaf({2}, 0.0)}}, options), c10::ValueError);
  EXPECT_THROW(AdamW({{"p", p.detach()}}, options), c10::ValueError);
  EXPECT_THROW(AdamW({{"p", p * 2}}, options), c10::ValueError);
  EXPECT_THROW(AdamW({{"p", at::zeros({2}, at::kBFloat16).requires_grad_()}}, options),
               c10::ValueError);
  EXPECT_THROW(AdamW({{"p", at::zeros({2}, at::kLong)}}, options), c10::ValueError);
  EXPECT_THROW(AdamW({{"p", at::zeros({2, 3}).t().requires_grad_()}}, options), c10::ValueError);
  OptimOptions three = options;
  three.betas = {0.9, 0.99, 0.999};
  EXPECT_THAT_CONTAINS(message_of([&] { AdamW({{"p", p}}, three); }), "optim.betas has 3 values");
  AdamW none({}, options);
  none.zero_grad();
  EXPECT_EQ(none.step(0.1).grad_norm, 0.0);
}

}  // namespace
}  // namespace sgrpo::optim
