// Segment attention against its slow twin.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/layouts.h"
#include "reference/segment_attention.h"
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

struct Shape {
  int64_t heads, kv_heads, head_dim;
};

struct AttentionInputs {
  at::Tensor q, k, v, grad;  // f64
  double scale;
};

AttentionInputs random_inputs(const Layout& layout, const Shape& shape, uint64_t seed) {
  return {.q = random_normal({layout.num_queries, shape.heads, shape.head_dim}, seed),
          .k = random_normal({layout.num_keys, shape.kv_heads, shape.head_dim}, seed + 1),
          .v = random_normal({layout.num_keys, shape.kv_heads, shape.head_dim}, seed + 2),
          .grad = random_normal({layout.num_queries, shape.heads, shape.head_dim}, seed + 3),
          .scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim))};
}

/// segment_attention by the plan of a table.
at::Tensor attend(const at::Tensor& q,
                  const at::Tensor& k,
                  const at::Tensor& v,
                  const at::Tensor& segments,
                  double scale,
                  bool causal) {
  return segment_attention(q, k, v, plan_of(segments, {q.size(0), k.size(0)}, causal), scale);
}

using Attention = at::Tensor (*)(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);

/// {out, grad_q, grad_k, grad_v}; `change` makes the leaf that attention sees out of each f64
/// input.
template <class Change>
variable_list run(Attention attention,
                  const Layout& layout,
                  const AttentionInputs& in,
                  const Change& change) {
  const at::Tensor q = change(in.q).detach().requires_grad_();
  const at::Tensor k = change(in.k).detach().requires_grad_();
  const at::Tensor v = change(in.v).detach().requires_grad_();
  const at::Tensor out = attention(q, k, v, layout.segments, in.scale, layout.causal);
  variable_list result = torch::autograd::grad({out}, {q, k, v}, {change(in.grad)});
  result.insert(result.begin(), out.detach());
  return result;
}
at::Tensor as_double(const at::Tensor& t) { return t; }
at::Tensor as_float(const at::Tensor& t) { return t.to(at::kFloat); }
at::Tensor as_bfloat16(const at::Tensor& t) { return t.to(at::kBFloat16); }

const char* const kAttentionNames[] = {"out", "grad_q", "grad_k", "grad_v"};

/// Sums run over the keys or queries and, before that, over head_dim; scores of size |s| turn their
/// rounding u |s| into a relative error of the weights.
double float_tolerance(const Layout& layout, const Shape& shape, const at::Tensor& expected) {
  const double largest = expected.abs().max().item<double>();
  const int64_t length = layout.num_keys + shape.head_dim * (shape.heads / shape.kv_heads);
  return tolerance_for(at::kFloat, length, 4.0 * (1.0 + largest));
}

TEST(SegmentAttention, float_matches_the_twin_for_every_layout_and_head_shape) {
  const std::vector<Shape> shapes = {{4, 2, 8},
                                     {4, 1, 16},
                                     {3, 3, 20},
                                     {2, 2, 32},
                                     {8, 2, 64},
                                     {2, 2, 80},
                                     {7, 1, 12},
                                     {2, 1, 128}};
  uint64_t seed = 100;
  for (const Layout& layout : layouts()) {
    for (const Shape& shape : shapes) {
      const AttentionInputs in = random_inputs(layout, shape, seed += 10);
      const auto got = run(attend, layout, in, as_float);
      const auto expected = run(reference::segment_attention, layout, in, as_double);
      for (size_t i = 0; i < 4; ++i) {
        expect_close(got[i],
                     expected[i],
                     float_tolerance(layout, shape, expected[i]),
                     core::str(layout.name,
                               " ",
                               shape.heads,
                               "/",
                               shape.kv_heads,
                               "x",
                               shape.head_dim,
                               " ",
                               kAttentionNames[i]));
      }
    }
  }
}

TEST(SegmentAttention, double_matches_the_twin_to_its_last_digits) {
  const Shape shape{4, 2, 10};
  for (const Layout& layout : layouts()) {
    const AttentionInputs in = random_inputs(layout, shape, 7);
    const auto got = run(attend, layout, in, as_double);
    const auto expected = run(reference::segment_attention, layout, in, as_double);
    for (size_t i = 0; i < 4; ++i)
      expect_close(got[i], expected[i], 1e-13, core::str(layout.name, " ", kAttentionNames[i]));
  }
}

TEST(SegmentAttention, backward_is_the_slope_of_forward) {
  const Layout layout{"small", table({0, 3, 0, 0, 0, 3, 3, 5, 0, 3, 3, 5}), 5, 5, true};
  const AttentionInputs in = random_inputs(layout, {2, 1, 4}, 21);
  const auto analytic = run(attend, layout, in, as_double);
  const auto value = [&](const AttentionInputs& at) {
    return (attend(at.q, at.k, at.v, layout.segments, in.scale, true) * in.grad)
        .sum()
        .item<double>();
  };
  // Central differences: truncation h^2 and rounding u/h balance near h = 1e-5 at about 1e-10.
  constexpr double kStep = 1e-5;
  for (size_t which = 0; which < 3; ++which) {
    at::Tensor AttentionInputs::*const member[] = {
        &AttentionInputs::q, &AttentionInputs::k, &AttentionInputs::v};
    at::Tensor slope = at::empty_like(in.*member[which]);
    for (int64_t i = 0; i < slope.numel(); ++i) {
      AttentionInputs above = in, below = in;
      (above.*member[which] = (in.*member[which]).clone()).view(-1)[i] += kStep;
      (below.*member[which] = (in.*member[which]).clone()).view(-1)[i] -= kStep;
      slope.view(-1)[i] = (value(above) - value(below)) / (2 * kStep);
    }
    expect_close(analytic[which + 1], slope, 1e-8, kAttentionNames[which + 1]);
  }
}

// Sampling decodes one token a segment, scoring takes whole sequences: the same bits, so that in
// bfloat16, where one flipped rounding spreads through all layers, both say the same.
TEST(SegmentAttention, a_query_alone_has_the_bits_that_it_has_among_others) {
  for (const Shape& shape : std::vector<Shape>{
           {4, 2, 8}, {8, 1, 128}, {7, 1, 12}, {2, 2, 80}, {6, 2, 64}, {16, 8, 20}}) {
    constexpr int64_t kTokens = 53, kPrompt = 19;
    const Layout whole{"whole", table({0, kTokens, 0, 0, 0, kTokens}), kTokens, kTokens, true};
    const AttentionInputs in = random_inputs(whole, shape, 41);
    const at::Tensor q = as_float(in.q), k = as_float(in.k), v = as_float(in.v);
    const at::Tensor all = attend(q, k, v, whole.segments, in.scale, true);
    for (int64_t t = kPrompt; t < kTokens; ++t) {
      const at::Tensor alone = attend(
          q.slice(0, t, t + 1), k, v, table({0, 1, 0, kPrompt, kPrompt, t + 1}), in.scale, true);
      sgrpo::testing::expect_bitwise_equal(
          alone, all.slice(0, t, t + 1), core::str("token ", t, ", head size ", shape.head_dim));
    }
  }
}

TEST(SegmentAttention, bfloat16_rounds_inputs_and_results_only) {
  const Layout layout = tries();
  const Shape shape{4, 2, 16};
  AttentionInputs in = random_inputs(layout, shape, 31);
  for (at::Tensor* t : {&in.q, &in.k, &in.v, &in.grad}) *t = t->to(at::kBFloat16).to(at::kDouble);
  const auto got = run(attend, layout, in, as_bfloat16);
  const auto expected = run(reference::segment_attention, layout, in, as_double);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got[i].scalar_type(), at::kBFloat16);
    // One rounding of the result; the backward also sees a rounded `out` through delta.
    const double largest = expected[i].abs().max().item<double>();
    expect_close(got[i], expected[i], (i == 0 ? 1.1 : 4.0) * 0x1p-8 * largest, kAttentionNames[i]);
  }
}

// A step of decoding sees few of a cache's rows. This one has 2^31 of 2^11 heads, all in one place:
// a copy in float32 would take 256 TiB.
TEST(SegmentAttention, cache_of_bfloat16_is_read_as_it_lies) {
  constexpr int64_t kRows = (int64_t{1} << 31) - 1, kHeads = int64_t{1} << 11;
  const at::Tensor row = at::arange(16, at::kFloat).to(at::kBFloat16).expand({1, kHeads, 16});
  const at::Tensor cache = row.expand({kRows, kHeads, 16});
  const at::Tensor q = at::ones({1, kHeads, 16}, at::kBFloat16);
  const at::Tensor segments = table({0, 1, 0, 5, kRows - 1, kRows});
  EXPECT_TRUE(at::equal(attend(q, cache, cache, segments, 0.01, true), row));
}

// Shape [T, 3, H, E] selected along dim 1 (the vision tower's qkv), and a slice of wider rows.
TEST(SegmentAttention, strided_views_give_the_bits_of_contiguous_tensors) {
  const Layout layout = windows();
  const Shape shape{2, 2, 20};
  const AttentionInputs in = random_inputs(layout, shape, 41);
  const at::Tensor qkv = at::stack({in.q, in.k, in.v}, 1).to(at::kFloat);
  const at::Tensor wide = at::cat({qkv.select(1, 2), qkv.select(1, 2)}, 2);
  const at::Tensor expected =
      attend(as_float(in.q), as_float(in.k), as_float(in.v), layout.segments, in.scale, false);
  expect_bitwise_equal(
      attend(
          qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout.segments, in.scale, false),
      expected);
  expect_bitwise_equal(attend(qkv.select(1, 0),
                              qkv.select(1, 1),
                              wide.slice(2, 20, 40),
                              layout.segments,
                              in.scale,
                              false),
                       expected);
}

TEST(SegmentAttention, gradient_of_an_expanded_result_is_accepted) {
  const Layout layout = one_row();
  const at::Tensor q = at::ones({1, 2, 8}).requires_grad_(), k = at::ones({1, 1, 8});
  const at::Tensor v = at::arange(8, at::kFloat).view({1, 1, 8}).requires_grad_();
  const at::Tensor out = attend(q, k, v, layout.segments, 1.0, true);
  const auto grads = torch::autograd::grad({out.sum()}, {q, v});
  expect_bitwise_equal(grads[0], at::zeros({1, 2, 8}));
  expect_bitwise_equal(grads[1], at::full({1, 1, 8}, 2.0f));
}

TEST(SegmentAttention, two_runs_give_the_same_bits) {
  const Layout layout = tries();
  const AttentionInputs in = random_inputs(layout, {8, 2, 20}, 51);
  const auto first = run(attend, layout, in, as_float);
  const auto second = run(attend, layout, in, as_float);
  for (size_t i = 0; i < 4; ++i) expect_bitwise_equal(first[i], second[i], kAttentionNames[i]);
}

TEST(SegmentAttention, equal_scores_average_the_values) {
  const at::Tensor q = at::zeros({2, 1, 4}), k = random_normal({2, 1, 4}, 1).to(at::kFloat);
  const at::Tensor v = at::tensor({1.0f, 2.0f, 3.0f, 4.0f, 3.0f, 6.0f, 1.0f, 0.0f}).view({2, 1, 4});
  const at::Tensor out = attend(q, k, v, table({0, 2, 0, 0, 0, 2}), 1.0, true);
  expect_bitwise_equal(out[0], v[0]);
  expect_bitwise_equal(out[1][0], at::tensor({2.0f, 4.0f, 2.0f, 2.0f}));
}

TEST(SegmentAttention, scores_far_beyond_the_range_of_exp_stay_finite) {
  const at::Tensor q = at::full({1, 1, 4}, 1e4f), v = random_normal({3, 1, 4}, 3).to(at::kFloat);
  const at::Tensor k =
      at::tensor({1.0f, 2.0f, -5.0f}).view({3, 1, 1}).expand({3, 1, 4}).contiguous();
  const at::Tensor out = attend(q, k, v, table({0, 1, 0, 0, 0, 3}), 1.0, true);
  expect_bitwise_equal(out[0][0], v[1][0]);
}

TEST(SegmentAttention, keys_that_no_query_sees_get_zero_gradient) {
  const Layout layout = decode();
  const AttentionInputs in = random_inputs(layout, {2, 1, 8}, 61);
  const auto got = run(attend, layout, in, as_float);
  for (const size_t i : {2u, 3u}) {
    expect_bitwise_equal(got[i].slice(0, 41, 50), at::zeros({9, 1, 8}), kAttentionNames[i]);
    EXPECT_GT(got[i].slice(0, 0, 21).abs().min().item<double>(), 0.0);
  }
}

TEST(SegmentAttention, no_segments_give_an_empty_result) {
  const at::Tensor none = at::empty({0, 2, 8}).requires_grad_();
  const at::Tensor out = attend(
      none, at::empty({0, 1, 8}), at::empty({0, 1, 8}), at::empty({0, 6}, at::kLong), 1.0, true);
  EXPECT_EQ(out.sizes(), (at::IntArrayRef{0, 2, 8}));
  EXPECT_EQ(torch::autograd::grad({out.sum()}, {none})[0].sizes(), (at::IntArrayRef{0, 2, 8}));
}

TEST(SegmentAttention, second_derivatives_are_refused) {
  const at::Tensor x = at::ones({1, 1, 4}).requires_grad_();
  const at::Tensor out = attend(x, x, x, table({0, 1, 0, 0, 0, 1}), 1.0, true);
  EXPECT_EQ(refusal([&] {
              torch::autograd::grad(
                  {out.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
            }),
            "segment_attention has no second derivative: backward with create_graph is refused");
}

TEST(SegmentAttention, broken_arguments_are_named) {
  const at::Tensor q = at::zeros({4, 2, 8}), k = at::zeros({6, 1, 8});
  const AttentionPlan plan = plan_of(table({0, 4, 0, 2, 2, 6}), {4, 6}, true);
  const auto error = [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
    return refusal([&] { segment_attention(query, key, value, plan, 1.0); });
  };
  EXPECT_EQ(error(q, k, k), "");
  EXPECT_EQ(error(q[0], k, k), "q has shape [2, 8], expected [Tq, H, E]");
  EXPECT_EQ(error(q, k.slice(2, 0, 4), k),
            "k has shape [6, 1, 4], expected [T, heads, E] with E = 8");
  EXPECT_EQ(error(q, k, k.slice(0, 0, 5)), "k has shape [6, 1, 8], v [5, 1, 8]");
  EXPECT_EQ(error(q, k, k.to(at::kDouble)), "v is Double, expected Float");
  EXPECT_EQ(error(q.to(at::kHalf), k, k), "q is Half, expected Float, BFloat16 or Double");
  EXPECT_EQ(error(at::zeros({4, 3, 8}), at::zeros({6, 2, 8}), at::zeros({6, 2, 8})),
            "q has 3 heads, k has 2: expected a multiple");
  EXPECT_EQ(error(at::zeros({4, 8, 2}).transpose(1, 2), k, k),
            "q must be contiguous in its last dimension");
}

TEST(SegmentAttention, a_plan_of_other_rows_or_another_device_is_refused) {
  const at::Tensor q = at::zeros({4, 2, 8}), k = at::zeros({6, 1, 8});
  const AttentionPlan plan = plan_of(table({0, 4, 0, 2, 2, 6}), {4, 6}, true);
  const auto error = [&](const at::Tensor& query, const at::Tensor& key, const AttentionPlan& by) {
    return refusal([&] { segment_attention(query, key, key, by, 1.0); });
  };
  EXPECT_EQ(error(q.slice(0, 1), k, plan), "q has 3 rows, the attention plan covers 4");
  EXPECT_EQ(error(q, k.slice(0, 1), plan), "k has 5 rows, the attention plan reads 6");
  EXPECT_EQ(error(q, at::zeros({7, 1, 8}), plan), "");
  EXPECT_EQ(error(q, k, plan.to(at::kMeta)), "the attention plan lies on meta, q on cpu");
}

}  // namespace
}  // namespace sgrpo::ops
