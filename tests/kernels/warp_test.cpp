// The CUDA kernels' bodies, walked warp by warp on the host, against the CPU kernels.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/row_logprob/row_logprob_body.h"
#include "kernels/segment_attention/segment_attention_body.h"
#include "testing/host_warp.h"

namespace sgrpo::kernels {
namespace {

template <class T>
using HostWarp = sgrpo::testing::HostWarp<T>;

/// Numbers in [-2, 2) from a linear congruence: any fixed sequence without pattern will do.
template <class T>
std::vector<T> numbers(int64_t count, uint64_t seed) {
  std::vector<T> result(static_cast<size_t>(count));
  uint64_t state = seed * 2 + 1;
  for (T& x : result) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<T>(static_cast<double>(state >> 11) * 0x1p-51 - 2.0);
  }
  return result;
}

template <class T>
void expect_near(const std::vector<T>& got,
                 const std::vector<T>& expected,
                 double tolerance,
                 const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got[i]), static_cast<double>(expected[i]), tolerance)
        << what << " " << i;
}

/// Tensors and launches of one attention problem, contiguous.
template <class T>
struct Problem {
  std::vector<int64_t> segments;
  int64_t num_queries, num_keys, heads, kv_heads, dims;
  bool causal;
  std::vector<T> q, k, v, grad;

  Problem(
      std::vector<int64_t> table, int64_t queries, int64_t keys, int64_t head_dim, bool is_causal)
      : segments(std::move(table)),
        num_queries(queries),
        num_keys(keys),
        heads(4),
        kv_heads(2),
        dims(head_dim),
        causal(is_causal),
        q(numbers<T>(queries * 4 * head_dim, 1)),
        k(numbers<T>(keys * 2 * head_dim, 2)),
        v(numbers<T>(keys * 2 * head_dim, 3)),
        grad(numbers<T>(queries * 4 * head_dim, 4)) {}

  HeadRows<const T> rows(const std::vector<T>& data, int64_t num_heads) const {
    return {data.data(), num_heads * dims, dims};
  }
  HeadRows<T> mutable_rows(std::vector<T>& data, int64_t num_heads) const {
    return {data.data(), num_heads * dims, dims};
  }
  SegmentAttentionParams<T> params() const {
    return {.q = rows(q, heads),
            .k = rows(k, kv_heads),
            .v = rows(v, kv_heads),
            .segments = segments.data(),
            .num_segments = static_cast<int64_t>(segments.size() / 6),
            .num_heads = heads,
            .num_kv_heads = kv_heads,
            .head_dim = dims,
            .scale = static_cast<T>(0.3),
            .causal = causal};
  }
};

template <class T>
struct Results {
  std::vector<T> out, lse, grad_q, grad_k, grad_v, delta;

  /// Filled with a number that a body which forgets an element would leave.
  Results(const Problem<T>& problem, T fill)
      : out(problem.q.size(), fill),
        lse(static_cast<size_t>(problem.num_queries * problem.heads), fill),
        grad_q(problem.q.size(), fill),
        grad_k(problem.k.size(), fill),
        grad_v(problem.v.size(), fill),
        delta(lse) {}

  SegmentAttentionBackward<T> backward(const Problem<T>& problem) {
    return {.params = problem.params(),
            .out = problem.rows(out, problem.heads),
            .grad_out = problem.rows(problem.grad, problem.heads),
            .lse = lse.data(),
            .grad_q = problem.mutable_rows(grad_q, problem.heads),
            .grad_k = problem.mutable_rows(grad_k, problem.kv_heads),
            .grad_v = problem.mutable_rows(grad_v, problem.kv_heads)};
  }
};

/// Walks the grid backwards: warps may run in any order.
template <class T>
Results<T> by_warps(const Problem<T>& problem) {
  Results<T> r(problem, T{-99});
  const HostWarp<T> warp;
  const SegmentAttentionForward<T> forward{
      problem.params(), problem.mutable_rows(r.out, problem.heads), r.lse.data()};
  const auto backward = r.backward(problem);
  with_parts(problem.dims, [&](auto parts) {
    constexpr int kParts = decltype(parts)::value;
    for (int64_t i = problem.num_queries * problem.heads; i-- > 0;)
      attention_forward_body<kParts>(forward, warp, i / problem.heads, i % problem.heads);
    for (int64_t i = problem.num_queries * problem.heads; i-- > 0;)
      attention_backward_query_body<kParts>(
          backward, r.delta.data(), warp, i / problem.heads, i % problem.heads);
    for (int64_t i = problem.num_keys * problem.kv_heads; i-- > 0;)
      attention_backward_key_body<kParts>(
          backward, r.delta.data(), warp, i / problem.kv_heads, i % problem.kv_heads);
    return 0;
  });
  return r;
}

template <class T>
Results<T> by_cpu(const Problem<T>& problem) {
  Results<T> r(problem, T{0});
  const auto params = problem.params();
  segment_attention_forward_cpu<T>(
      {params, problem.mutable_rows(r.out, problem.heads), r.lse.data()},
      0,
      params.num_segments * problem.kv_heads);
  std::vector<int64_t> all;
  for (int64_t s = 0; s < params.num_segments; ++s) all.push_back(s);
  for (int64_t head = 0; head < problem.kv_heads; ++head)
    segment_attention_backward_cpu<T>(r.backward(problem), all.data(), params.num_segments, head);
  return r;
}

template <class T>
void expect_warps_match_cpu(double tolerance) {
  const std::vector<int64_t> tries = {0, 6,  0, 0, 0, 6,  6,  9,  0,  6,  6,  9,
                                      9, 13, 0, 6, 9, 13, 13, 15, 13, 13, 13, 15};
  const std::vector<int64_t> windows = {0, 9, 0, 0, 0, 9, 9, 12, 0, 0, 9, 12};
  const std::vector<int64_t> decode = {0, 1, 0, 7, 20, 21, 1, 2, 7, 12, 24, 30};
  for (const int64_t dims : {8, 20, 32, 64, 80, 128, 200}) {
    for (const Problem<T>& problem : {Problem<T>(tries, 15, 15, dims, true),
                                      Problem<T>(windows, 12, 12, dims, false),
                                      Problem<T>(decode, 2, 31, dims, true)}) {
      const auto got = by_warps(problem), expected = by_cpu(problem);
      expect_near(got.out, expected.out, tolerance, "out");
      expect_near(got.lse, expected.lse, tolerance, "lse");
      expect_near(got.grad_q, expected.grad_q, 20 * tolerance, "grad_q");
      expect_near(got.grad_k, expected.grad_k, 20 * tolerance, "grad_k");
      expect_near(got.grad_v, expected.grad_v, 20 * tolerance, "grad_v");
    }
  }
}

/// The result of the warps, or of the CPU kernel, for keys and values in `Stored`.
template <class Stored>
std::vector<float> forward_out(const Problem<float>& problem,
                               const std::vector<Stored>& k,
                               const std::vector<Stored>& v,
                               bool is_cpu) {
  const auto params = problem.params();
  const auto stored = [&](const std::vector<Stored>& data) -> HeadRows<const Stored> {
    return {data.data(), problem.kv_heads * problem.dims, problem.dims};
  };
  std::vector<float> out(problem.q.size()), lse(problem.q.size());
  const SegmentAttentionForward<float, Stored> work{{.q = params.q,
                                                     .k = stored(k),
                                                     .v = stored(v),
                                                     .segments = params.segments,
                                                     .num_segments = params.num_segments,
                                                     .num_heads = params.num_heads,
                                                     .num_kv_heads = params.num_kv_heads,
                                                     .head_dim = params.head_dim,
                                                     .scale = params.scale,
                                                     .causal = params.causal},
                                                    problem.mutable_rows(out, problem.heads),
                                                    lse.data()};
  if (is_cpu) {
    segment_attention_forward_cpu(work, 0, params.num_segments * problem.kv_heads);
    return out;
  }
  with_parts(problem.dims, [&](auto parts) {
    for (int64_t i = 0; i < problem.num_queries * problem.heads; ++i)
      attention_forward_body<decltype(parts)::value>(
          work, HostWarp<float>(), i / problem.heads, i % problem.heads);
    return 0;
  });
  return out;
}

Bf16 upper_half(float x) { return {static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16)}; }

// Widening is exact: where the numbers lie makes no difference to a bit, decoding (two queries) or
// scoring (fifteen).
TEST(AttentionWarps, keys_in_bfloat16_give_the_bits_of_the_same_keys_in_float) {
  const std::vector<int64_t> tries = {0, 6, 0, 0, 0, 6, 6, 15, 0, 6, 6, 15};
  const std::vector<int64_t> decode = {0, 1, 0, 7, 20, 21, 1, 2, 7, 12, 24, 30};
  for (const int64_t dims : {8, 20, 64, 80}) {
    for (const Problem<float>& problem :
         {Problem<float>(tries, 15, 15, dims, true), Problem<float>(decode, 2, 31, dims, true)}) {
      std::vector<Bf16> k(problem.k.size()), v(problem.v.size());
      std::vector<float> wide_k(k.size()), wide_v(v.size());
      for (size_t i = 0; i < k.size(); ++i) {
        k[i] = upper_half(problem.k[i]);
        v[i] = upper_half(problem.v[i]);
        wide_k[i] = static_cast<float>(k[i]);
        wide_v[i] = static_cast<float>(v[i]);
      }
      for (const bool is_cpu : {false, true})
        EXPECT_EQ(forward_out(problem, k, v, is_cpu), forward_out(problem, wide_k, wide_v, is_cpu));
    }
  }
}

// Scores reach about 0.3 * 2 * 2 * sqrt(200) = 17: their rounding moves a weight by 17 u sqrt(n).
TEST(AttentionWarps, match_the_cpu_in_float) { expect_warps_match_cpu<float>(2e-5); }
TEST(AttentionWarps, match_the_cpu_in_double) { expect_warps_match_cpu<double>(2e-14); }

struct Rows {
  std::vector<float> logprobs, entropy, lse, grad;
};

template <class Forward, class Backward>
Rows run_rows(const std::vector<float>& logits,
              const std::vector<int64_t>& labels,
              const Forward& forward,
              const Backward& backward) {
  const size_t rows = labels.size();
  Rows result{std::vector<float>(rows, -99.0f),
              std::vector<float>(rows, -99.0f),
              std::vector<float>(rows, -99.0f),
              std::vector<float>(logits.size(), -99.0f)};
  RowLogprobParams params;
  params.logits = logits.data();
  params.labels = labels.data();
  params.num_rows = static_cast<int64_t>(rows);
  params.vocab = static_cast<int64_t>(logits.size() / rows);
  params.inverse_temperature = 1.25f;
  params.logprobs = result.logprobs.data();
  params.entropy = result.entropy.data();
  params.lse = result.lse.data();
  forward(params);
  backward(params, result.grad.data());
  return result;
}

TEST(RowLogprobWarps, match_the_cpu) {
  for (const int64_t vocab : {1, 31, 32, 33, 1000, 1025, 3000}) {
    std::vector<float> logits = numbers<float>(3 * vocab, 7);
    if (vocab > 1) logits[static_cast<size_t>(vocab)] = -INFINITY;  // a masked entry of row 1
    const std::vector<int64_t> labels = {0, vocab - 1, vocab / 2};
    const std::vector<float> g = numbers<float>(3, 8), h = numbers<float>(3, 9);
    for (const bool has_entropy : {false, true}) {
      const float* by_entropy = has_entropy ? h.data() : nullptr;
      const HostWarp<float> warp;
      const Rows got = run_rows(
          logits,
          labels,
          [&](const auto& p) {
            for (int64_t i = 3; i-- > 0;) row_logprob_forward_body(p, warp, i);
          },
          [&](const auto& p, float* grad) {
            for (int64_t i = 3; i-- > 0;)
              row_logprob_backward_body(p, g.data(), by_entropy, grad, warp, i);
          });
      const Rows expected = run_rows(
          logits,
          labels,
          [&](const auto& p) { row_logprob_forward_cpu(p, 0, 3); },
          [&](const auto& p, float* grad) {
            row_logprob_backward_cpu(p, g.data(), by_entropy, grad, 0, 3);
          });
      expect_near(got.logprobs, expected.logprobs, 2e-6, "logprobs");
      expect_near(got.entropy, expected.entropy, 4e-6, "entropy");
      expect_near(got.lse, expected.lse, 2e-6, "lse");
      expect_near(got.grad, expected.grad, 4e-6, "grad");
    }
  }
}

}  // namespace
}  // namespace sgrpo::kernels
