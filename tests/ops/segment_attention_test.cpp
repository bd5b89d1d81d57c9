// Segment attention against its slow twin.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

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

at::Tensor table(const std::vector<int64_t>& rows) {
  return at::tensor(rows, at::kLong).view({-1, 6});
}

/// A way to lay out segments over queries and keys.
struct Layout {
  const char* name;
  at::Tensor segments;
  int64_t num_queries, num_keys;
  bool causal;
};

/// Two prompts with completions behind them, one completion alone with its prompt.
Layout tries() {
  return {"tries",
          table({0,  9,  0,  0,  0,  9,  9,  14, 0,  9,  9,  14, 14, 15, 0,  9,  14, 15,
                 15, 38, 15, 15, 15, 38, 38, 45, 15, 38, 38, 45, 45, 62, 15, 38, 45, 62}),
          62,
          62,
          true};
}
/// Vision windows of ragged lengths.
Layout windows() {
  return {"windows",
          table({0, 16, 0, 0, 0, 16, 16, 20, 0, 0, 16, 20, 20, 45, 0, 0, 20, 45}),
          45,
          45,
          false};
}
/// One new query a row; keys in a cache: prompt slots, then the row's own.
Layout decode() {
  return {"decode",
          table({0, 1, 0, 21, 40, 41, 1, 2, 0, 21, 50, 57, 2, 3, 21, 33, 60, 79}),
          3,
          80,
          true};
}
/// A chunk of a prompt after a cached beginning: more own keys than queries.
Layout chunked() {
  return {"chunked", table({0, 7, 2, 2, 5, 30, 7, 8, 0, 0, 30, 31}), 8, 31, true};
}
Layout one_row() { return {"one_row", table({0, 1, 0, 0, 0, 1}), 1, 1, true}; }

std::vector<Layout> layouts() { return {tries(), windows(), decode(), chunked(), one_row()}; }

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
      const auto got = run(segment_attention, layout, in, as_float);
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
    const auto got = run(segment_attention, layout, in, as_double);
    const auto expected = run(reference::segment_attention, layout, in, as_double);
    for (size_t i = 0; i < 4; ++i)
      expect_close(got[i], expected[i], 1e-13, core::str(layout.name, " ", kAttentionNames[i]));
  }
}

TEST(SegmentAttention, backward_is_the_slope_of_forward) {
  const Layout layout{"small", table({0, 3, 0, 0, 0, 3, 3, 5, 0, 3, 3, 5}), 5, 5, true};
  const AttentionInputs in = random_inputs(layout, {2, 1, 4}, 21);
  const auto analytic = run(segment_attention, layout, in, as_double);
  const auto value = [&](const AttentionInputs& at) {
    return (segment_attention(at.q, at.k, at.v, layout.segments, in.scale, true) * in.grad)
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
    const at::Tensor all = segment_attention(q, k, v, whole.segments, in.scale, true);
    for (int64_t t = kPrompt; t < kTokens; ++t) {
      const at::Tensor alone = segment_attention(
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
  const auto got = run(segment_attention, layout, in, as_bfloat16);
  const auto expected = run(reference::segment_attention, layout, in, as_double);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got[i].scalar_type(), at::kBFloat16);
    // One rounding of the result; the backward also sees a rounded `out` through delta.
    const double largest = expected[i].abs().max().item<double>();
    expect_close(got[i], expected[i], (i == 0 ? 1.1 : 4.0) * 0x1p-8 * largest, kAttentionNames[i]);
  }
}

// A step of decoding sees few of a cache's rows. This one has 2^40, all in one place: a copy in
// float32 would take 128 TiB.
TEST(SegmentAttention, cache_of_bfloat16_is_read_as_it_lies) {
  constexpr int64_t kRows = int64_t{1} << 40;
  const at::Tensor row = at::arange(32, at::kFloat).to(at::kBFloat16).view({1, 2, 16});
  const at::Tensor cache = row.expand({kRows, 2, 16});
  const at::Tensor q = at::ones({1, 2, 16}, at::kBFloat16);
  const at::Tensor segments = table({0, 1, 0, 5, kRows - 1, kRows});
  EXPECT_TRUE(at::equal(segment_attention(q, cache, cache, segments, 0.01, true), row));
}

// Shape [T, 3, H, E] selected along dim 1 (the vision tower's qkv), and a slice of wider rows.
TEST(SegmentAttention, strided_views_give_the_bits_of_contiguous_tensors) {
  const Layout layout = windows();
  const Shape shape{2, 2, 20};
  const AttentionInputs in = random_inputs(layout, shape, 41);
  const at::Tensor qkv = at::stack({in.q, in.k, in.v}, 1).to(at::kFloat);
  const at::Tensor wide = at::cat({qkv.select(1, 2), qkv.select(1, 2)}, 2);
  const at::Tensor expected = segment_attention(
      as_float(in.q), as_float(in.k), as_float(in.v), layout.segments, in.scale, false);
  expect_bitwise_equal(
      segment_attention(
          qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout.segments, in.scale, false),
      expected);
  expect_bitwise_equal(segment_attention(qkv.select(1, 0),
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
  const at::Tensor out = segment_attention(q, k, v, layout.segments, 1.0, true);
  const auto grads = torch::autograd::grad({out.sum()}, {q, v});
  expect_bitwise_equal(grads[0], at::zeros({1, 2, 8}));
  expect_bitwise_equal(grads[1], at::full({1, 1, 8}, 2.0f));
}

TEST(SegmentAttention, two_runs_give_the_same_bits) {
  const Layout layout = tries();
  const AttentionInputs in = random_inputs(layout, {8, 2, 20}, 51);
  const auto first = run(segment_attention, layout, in, as_float);
  const auto second = run(segment_attention, layout, in, as_float);
  for (size_t i = 0; i < 4; ++i) expect_bitwise_equal(first[i], second[i], kAttentionNames[i]);
}

TEST(SegmentAttention, equal_scores_average_the_values) {
  const at::Tensor q = at::zeros({2, 1, 4}), k = random_normal({2, 1, 4}, 1).to(at::kFloat);
  const at::Tensor v = at::tensor({1.0f, 2.0f, 3.0f, 4.0f, 3.0f, 6.0f, 1.0f, 0.0f}).view({2, 1, 4});
  const at::Tensor out = segment_attention(q, k, v, table({0, 2, 0, 0, 0, 2}), 1.0, true);
  expect_bitwise_equal(out[0], v[0]);
  expect_bitwise_equal(out[1][0], at::tensor({2.0f, 4.0f, 2.0f, 2.0f}));
}

TEST(SegmentAttention, scores_far_beyond_the_range_of_exp_stay_finite) {
  const at::Tensor q = at::full({1, 1, 4}, 1e4f), v = random_normal({3, 1, 4}, 3).to(at::kFloat);
  const at::Tensor k =
      at::tensor({1.0f, 2.0f, -5.0f}).view({3, 1, 1}).expand({3, 1, 4}).contiguous();
  const at::Tensor out = segment_attention(q, k, v, table({0, 1, 0, 0, 0, 3}), 1.0, true);
  expect_bitwise_equal(out[0][0], v[1][0]);
}

TEST(SegmentAttention, keys_that_no_query_sees_get_zero_gradient) {
  const Layout layout = decode();
  const AttentionInputs in = random_inputs(layout, {2, 1, 8}, 61);
  const auto got = run(segment_attention, layout, in, as_float);
  for (const size_t i : {2u, 3u}) {
    expect_bitwise_equal(got[i].slice(0, 41, 50), at::zeros({9, 1, 8}), kAttentionNames[i]);
    EXPECT_GT(got[i].slice(0, 0, 21).abs().min().item<double>(), 0.0);
  }
}

TEST(SegmentAttention, no_segments_give_an_empty_result) {
  const at::Tensor none = at::empty({0, 2, 8}).requires_grad_();
  const at::Tensor out = segment_attention(
      none, at::empty({0, 1, 8}), at::empty({0, 1, 8}), at::empty({0, 6}, at::kLong), 1.0, true);
  EXPECT_EQ(out.sizes(), (at::IntArrayRef{0, 2, 8}));
  EXPECT_EQ(torch::autograd::grad({out.sum()}, {none})[0].sizes(), (at::IntArrayRef{0, 2, 8}));
}

TEST(SegmentAttention, second_derivatives_are_refused) {
  const at::Tensor x = at::ones({1, 1, 4}).requires_grad_();
  const at::Tensor out = segment_attention(x, x, x, table({0, 1, 0, 0, 0, 1}), 1.0, true);
  EXPECT_EQ(refusal([&] {
              torch::autograd::grad(
                  {out.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
            }),
            "segment_attention has no second derivative: backward with create_graph is refused");
}

TEST(SegmentAttention, broken_arguments_are_named) {
  const at::Tensor q = at::zeros({4, 2, 8}), k = at::zeros({6, 1, 8});
  const at::Tensor rows = table({0, 4, 0, 2, 2, 6});
  const auto error = [&](const at::Tensor& query,
                         const at::Tensor& key,
                         const at::Tensor& value,
                         const at::Tensor& segments) {
    return refusal([&] { segment_attention(query, key, value, segments, 1.0, true); });
  };
  EXPECT_EQ(error(q, k, k, rows), "");
  EXPECT_EQ(error(q[0], k, k, rows), "q has shape [2, 8], expected [Tq, H, E]");
  EXPECT_EQ(error(q, k.slice(2, 0, 4), k, rows),
            "k has shape [6, 1, 4], expected [T, heads, E] with E = 8");
  EXPECT_EQ(error(q, k, k.slice(0, 0, 5), rows), "k has shape [6, 1, 8], v [5, 1, 8]");
  EXPECT_EQ(error(q, k, k.to(at::kDouble), rows), "v is Double, expected Float");
  EXPECT_EQ(error(q.to(at::kHalf), k, k, rows), "q is Half, expected Float, BFloat16 or Double");
  EXPECT_EQ(error(at::zeros({4, 3, 8}), at::zeros({6, 2, 8}), at::zeros({6, 2, 8}), rows),
            "q has 3 heads, k has 2: expected a multiple");
  EXPECT_EQ(error(at::zeros({4, 8, 2}).transpose(1, 2), k, k, rows),
            "q must be contiguous in its last dimension");
  EXPECT_EQ(error(q, k, k, rows.to(at::kInt)),
            "segments must be a contiguous [S, 6] i64 CPU tensor");
  EXPECT_EQ(error(q, k, k, table({0, 5, 0, 0, 0, 6})), "segment 0: queries [0, 5) beyond [0, 4)");
  EXPECT_EQ(error(q, k, k, table({0, 4, 0, 2, 2, 7})),
            "segment 0: keys [0, 2) and [2, 7) beyond [0, 6)");
  EXPECT_EQ(error(q, k, k, table({0, 4, 0, 0, 0, 3})), "segment 0 has 3 own keys for 4 query rows");
}

TEST(SegmentAttention, query_rows_that_no_segment_covers_are_refused) {
  const at::Tensor x = at::zeros({4, 1, 8});
  const auto error = [&](const at::Tensor& segments) {
    return refusal([&] { segment_attention(x, x, x, segments, 1.0, true); });
  };
  EXPECT_EQ(error(table({0, 3, 0, 0, 0, 3})), "segments cover 3 of 4 query rows");
  EXPECT_EQ(
      error(table({0, 2, 0, 0, 0, 2, 3, 4, 0, 0, 3, 4})),
      "segment 1 begins at query 3, expected 2: segments cover the query rows in order, each once");
  EXPECT_EQ(
      error(table({0, 4, 0, 0, 0, 4, 0, 4, 0, 0, 0, 4})),
      "segment 1 begins at query 0, expected 4: segments cover the query rows in order, each once");
}

}  // namespace
}  // namespace sgrpo::ops
