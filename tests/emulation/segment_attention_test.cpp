// The attention kernels of CUDA, emulated, against the CPU's.
#include "kernels/segment_attention/segment_attention_cuda.h"

#include <gtest/gtest.h>

#include <vector>

#include "emulation/emulated.h"

namespace sgrpo::kernels {
namespace {

using sgrpo::testing::DeviceArray;
using sgrpo::testing::emulate;
using sgrpo::testing::expect_near;
using sgrpo::testing::in_every_schedule;
using sgrpo::testing::measure;
using sgrpo::testing::numbers;
using sgrpo::testing::Schedule;
using sgrpo::testing::sees_accesses;
using sgrpo::testing::Traffic;

/// One attention problem; tensors are contiguous.
struct Problem {
  std::vector<int64_t> segments;
  int64_t num_queries, num_keys, dims;
  bool causal;
  int64_t heads = 4, kv_heads = 2;
};

template <class T, class Stored = T>
struct Inputs {
  std::vector<T> q, grad;
  std::vector<Stored> k, v;

  explicit Inputs(const Problem& p)
      : q(numbers<T>(p.num_queries * p.heads * p.dims, 1)),
        grad(numbers<T>(p.num_queries * p.heads * p.dims, 4)),
        k(numbers<Stored>(p.num_keys * p.kv_heads * p.dims, 2)),
        v(numbers<Stored>(p.num_keys * p.kv_heads * p.dims, 3)) {}
};

template <class T>
struct Results {
  std::vector<T> out, lse, grad_q, grad_k, grad_v;
  bool operator==(const Results&) const = default;
};

template <class T>
HeadRows<T> rows(T* data, const Problem& p, int64_t heads) {
  return {data, heads * p.dims, p.dims};
}

template <class T, class Stored>
SegmentAttentionParams<T, Stored> params_of(
    const Problem& p, const T* q, const Stored* k, const Stored* v, const int64_t* segments) {
  return {.q = rows(q, p, p.heads),
          .k = rows(k, p, p.kv_heads),
          .v = rows(v, p, p.kv_heads),
          .segments = segments,
          .num_segments = static_cast<int64_t>(p.segments.size() / 6),
          .num_heads = p.heads,
          .num_kv_heads = p.kv_heads,
          .head_dim = p.dims,
          .scale = static_cast<T>(0.3),
          .causal = p.causal};
}

/// Device memory of one problem. Outputs hold a number that a kernel which forgets them would
/// leave.
template <class T, class Stored = T>
struct Device {
  static constexpr T kFill = -99;
  DeviceArray<int64_t> segments;
  DeviceArray<T> q, grad, out, lse, delta, grad_q;
  DeviceArray<Stored> k, v;
  DeviceArray<T> grad_k, grad_v;

  Device(const Problem& p, const Inputs<T, Stored>& in)
      : segments(p.segments),
        q(in.q),
        grad(in.grad),
        out(in.q.size(), kFill),
        lse(static_cast<size_t>(p.num_queries * p.heads), kFill),
        delta(static_cast<size_t>(p.num_queries * p.heads), kFill),
        grad_q(in.q.size(), kFill),
        k(in.k),
        v(in.v),
        grad_k(in.k.size(), kFill),
        grad_v(in.v.size(), kFill) {}

  SegmentAttentionForward<T, Stored> forward(const Problem& p) const {
    return {params_of(p,
                      static_cast<const T*>(q.data()),
                      static_cast<const Stored*>(k.data()),
                      static_cast<const Stored*>(v.data()),
                      segments.data()),
            rows(out.data(), p, p.heads),
            lse.data()};
  }
  SegmentAttentionBackward<T> backward(const Problem& p) const {
    return {.params = forward(p).params,
            .out = rows(static_cast<const T*>(out.data()), p, p.heads),
            .grad_out = rows(static_cast<const T*>(grad.data()), p, p.heads),
            .lse = lse.data(),
            .grad_q = rows(grad_q.data(), p, p.heads),
            .grad_k = rows(grad_k.data(), p, p.kv_heads),
            .grad_v = rows(grad_v.data(), p, p.kv_heads)};
  }
};

template <class T>
Results<T> on_device(const Problem& p, const Inputs<T>& in, Schedule schedule) {
  const Device<T> device(p, in);
  emulate(schedule, [&] {
    EXPECT_EQ(segment_attention_forward_cuda(device.forward(p), p.num_queries, nullptr),
              cudaSuccess);
    EXPECT_EQ(segment_attention_backward_cuda(
                  device.backward(p), device.delta.data(), p.num_queries, p.num_keys, nullptr),
              cudaSuccess);
  });
  return {device.out.values(),
          device.lse.values(),
          device.grad_q.values(),
          device.grad_k.values(),
          device.grad_v.values()};
}

template <class T>
Results<T> on_cpu(const Problem& p, const Inputs<T>& in) {
  Results<T> r{std::vector<T>(in.q.size()),
               std::vector<T>(static_cast<size_t>(p.num_queries * p.heads)),
               std::vector<T>(in.q.size()),
               std::vector<T>(in.k.size()),
               std::vector<T>(in.k.size())};
  const auto params = params_of(p, in.q.data(), in.k.data(), in.v.data(), p.segments.data());
  segment_attention_forward_cpu<T>(
      {params, rows(r.out.data(), p, p.heads), r.lse.data()}, 0, params.num_segments * p.kv_heads);
  const SegmentAttentionBackward<T> backward{
      .params = params,
      .out = rows(static_cast<const T*>(r.out.data()), p, p.heads),
      .grad_out = rows(in.grad.data(), p, p.heads),
      .lse = r.lse.data(),
      .grad_q = rows(r.grad_q.data(), p, p.heads),
      .grad_k = rows(r.grad_k.data(), p, p.kv_heads),
      .grad_v = rows(r.grad_v.data(), p, p.kv_heads)};
  std::vector<int64_t> all;
  for (int64_t s = 0; s < params.num_segments; ++s) all.push_back(s);
  for (int64_t head = 0; head < p.kv_heads; ++head)
    segment_attention_backward_cpu<T>(backward, all.data(), params.num_segments, head);
  return r;
}

Problem tries(int64_t dims) {
  return {
      .segments = {0, 6, 0, 0, 0, 6, 6, 9, 0, 6, 6, 9, 9, 13, 0, 6, 9, 13, 13, 15, 13, 13, 13, 15},
      .num_queries = 15,
      .num_keys = 15,
      .dims = dims,
      .causal = true};
}
Problem windows(int64_t dims) {
  return {.segments = {0, 9, 0, 0, 0, 9, 9, 12, 0, 0, 9, 12},
          .num_queries = 12,
          .num_keys = 12,
          .dims = dims,
          .causal = false};
}
Problem decode(int64_t dims) {
  return {.segments = {0, 1, 0, 7, 20, 21, 1, 2, 7, 12, 24, 30},
          .num_queries = 2,
          .num_keys = 31,
          .dims = dims,
          .causal = true};
}

template <class T>
void expect_device_matches_cpu(const std::vector<int64_t>& head_dims, double tolerance) {
  for (const int64_t dims : head_dims) {
    for (const Problem& problem : {tries(dims), windows(dims), decode(dims)}) {
      const Inputs<T> in(problem);
      const auto got =
          in_every_schedule([&](Schedule schedule) { return on_device(problem, in, schedule); });
      const auto expected = on_cpu(problem, in);
      expect_near(got.out, expected.out, tolerance, "out");
      expect_near(got.lse, expected.lse, tolerance, "lse");
      expect_near(got.grad_q, expected.grad_q, 20 * tolerance, "grad_q");
      expect_near(got.grad_k, expected.grad_k, 20 * tolerance, "grad_k");
      expect_near(got.grad_v, expected.grad_v, 20 * tolerance, "grad_v");
    }
  }
}

// Scores reach about 0.3 * 2 * 2 * sqrt(200) = 17: their rounding moves a weight by 17 u sqrt(n).
TEST(SegmentAttention, matches_the_cpu_in_float) {
  expect_device_matches_cpu<float>({8, 20, 64, 80, 128, 200}, 2e-5);
}
TEST(SegmentAttention, matches_the_cpu_in_double) {
  expect_device_matches_cpu<double>({32, 80, 200}, 2e-14);
}

/// The forward's result for keys and values as `in` stores them.
template <class Stored>
std::vector<float> forward_out(const Problem& p, const Inputs<float, Stored>& in, bool is_cpu) {
  if (is_cpu) {
    std::vector<float> out(in.q.size()), lse(in.q.size());
    const auto params = params_of(p, in.q.data(), in.k.data(), in.v.data(), p.segments.data());
    segment_attention_forward_cpu<float, Stored>(
        {params, rows(out.data(), p, p.heads), lse.data()}, 0, params.num_segments * p.kv_heads);
    return out;
  }
  const Device<float, Stored> device(p, in);
  emulate(Schedule::kAscending,
          [&] { segment_attention_forward_cuda(device.forward(p), p.num_queries, nullptr); });
  return device.out.values();
}

// Widening is exact: where the numbers lie makes no difference to a bit, decoding (two queries) or
// scoring (fifteen).
TEST(SegmentAttention, keys_in_bfloat16_give_the_bits_of_the_same_keys_in_float) {
  for (const int64_t dims : {8, 20, 64, 80}) {
    for (const Problem& problem : {tries(dims), decode(dims)}) {
      const Inputs<float, Bf16> narrow(problem);
      Inputs<float> wide(problem);
      for (size_t i = 0; i < wide.k.size(); ++i) {
        wide.k[i] = static_cast<float>(narrow.k[i]);
        wide.v[i] = static_cast<float>(narrow.v[i]);
      }
      for (const bool is_cpu : {false, true})
        EXPECT_EQ(forward_out(problem, narrow, is_cpu), forward_out(problem, wide, is_cpu));
    }
  }
}

// A warp reads the key and the value of every pair that it sees: 8 bytes a dimension in float. The
// table and the query rows come on top, and are what the fifth allows.
TEST(SegmentAttention, moves_what_its_pairs_need) {
  if (!sees_accesses()) GTEST_SKIP() << "this build does not look at accesses";
  const Problem problem{.segments = {0, 48, 0, 0, 0, 48},
                        .num_queries = 48,
                        .num_keys = 48,
                        .dims = 128,
                        .causal = true};
  const Inputs<float> in(problem);
  const Device<float> device(problem, in);
  const Traffic forward = measure([&] {
    segment_attention_forward_cuda(device.forward(problem), problem.num_queries, nullptr);
  });
  const auto pairs = static_cast<double>(problem.heads * 48 * 49 / 2);
  EXPECT_LE(static_cast<double>(forward.bytes()), 1.2 * 8 * 128 * pairs);
  EXPECT_LE(static_cast<double>(forward.sector_bytes()), 1.2 * 8 * 128 * pairs);
}

}  // namespace
}  // namespace sgrpo::kernels
