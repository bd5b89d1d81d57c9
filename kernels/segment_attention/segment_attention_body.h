// Segment attention by warps: what one warp does, for CUDA and for tests that walk the warps on the
// host. Lanes share out head_dim: kParts registers of 32 dimensions each.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/warp.h"
#include "kernels/segment_attention/segment.h"
#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::kernels {

/// The segment of a query row: segments lie in query order and cover every row once.
template <class T, class Stored>
SGRPO_HOST_DEVICE Segment segment_of_row(const SegmentAttentionParams<T, Stored>& params,
                                         int64_t row) {
  int64_t low = 0, high = params.num_segments - 1;  // the first segment that ends after `row`
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (params.segments[middle * 6 + 1] > row) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Segment(params.segments + low * 6);
}

/// One row of head_dim numbers, spread over the lanes.
template <class Warp, int kParts>
struct LaneRow {
  typename Warp::Value part[kParts];
};

template <int kParts, class Warp, class Stored>
SGRPO_HOST_DEVICE LaneRow<Warp, kParts> load_row(const Warp& warp, const Stored* p, int64_t dims) {
  LaneRow<Warp, kParts> row;
  for (int i = 0; i < kParts; ++i)
    row.part[i] = warp.load(p + i * kWarpLanes, dims - i * kWarpLanes, 0);
  return row;
}

template <int kParts, class Warp, class T>
SGRPO_HOST_DEVICE void store_row(const Warp& warp,
                                 T* p,
                                 int64_t dims,
                                 const LaneRow<Warp, kParts>& row) {
  for (int i = 0; i < kParts; ++i)
    warp.store(p + i * kWarpLanes, dims - i * kWarpLanes, row.part[i]);
}

/// row <- row * keep + other * weight
template <int kParts, class Warp, class T>
SGRPO_HOST_DEVICE void accumulate(const Warp& warp,
                                  LaneRow<Warp, kParts>& row,
                                  T keep,
                                  const LaneRow<Warp, kParts>& other,
                                  T weight) {
  for (int i = 0; i < kParts; ++i)
    row.part[i] =
        warp.map([=](T a, T b) { return a * keep + b * weight; }, row.part[i], other.part[i]);
}

template <class T, int kParts, class Warp>
SGRPO_HOST_DEVICE T dot_rows(const Warp& warp,
                             const LaneRow<Warp, kParts>& a,
                             const LaneRow<Warp, kParts>& b) {
  auto products = warp.map([](T x, T y) { return x * y; }, a.part[0], b.part[0]);
  for (int i = 1; i < kParts; ++i)
    products =
        warp.map([](T sum, T x, T y) { return sum + x * y; }, products, a.part[i], b.part[i]);
  return warp.sum(products);
}

/// Forward of one query row and head, keys in order, with a running maximum.
/// bytes: every visible key and value once; flops: 4 E (visible keys).
template <int kParts, class T, class Stored, class Warp>
SGRPO_HOST_DEVICE void attention_forward_body(const SegmentAttentionForward<T, Stored>& work,
                                              const Warp& warp,
                                              int64_t row,
                                              int64_t head) {
  const auto& p = work.params;
  const Segment segment = segment_of_row(p, row);
  const int64_t kv_head = p.kv_head_of(head);
  const int64_t visible = segment.num_visible(row - segment.q_begin, p.causal);
  const auto q = load_row<kParts>(warp, p.q.at(row, head), p.head_dim);
  LaneRow<Warp, kParts> out{};
  T top = static_cast<T>(-INFINITY), total = 0;
  for (int64_t j = 0; j < visible; ++j) {
    const int64_t key_row = segment.key_row(j);
    const auto key = load_row<kParts>(warp, p.k.at(key_row, kv_head), p.head_dim);
    const T score = p.scale * dot_rows<T>(warp, q, key);
    const T next = score > top ? score : top;
    const T keep = std::exp(top - next), weight = std::exp(score - next);
    accumulate(
        warp, out, keep, load_row<kParts>(warp, p.v.at(key_row, kv_head), p.head_dim), weight);
    total = total * keep + weight;
    top = next;
  }
  LaneRow<Warp, kParts> result{};
  accumulate(warp, result, T{0}, out, 1 / total);
  store_row(warp, work.out.at(row, head), p.head_dim, result);
  warp.store_one(work.lse + row * p.num_heads + head, top + std::log(total));
}

/// Backward to one query row and head; leaves delta = grad_out . out for the keys' pass.
template <int kParts, class T, class Warp>
SGRPO_HOST_DEVICE void attention_backward_query_body(const SegmentAttentionBackward<T>& work,
                                                     T* delta,
                                                     const Warp& warp,
                                                     int64_t row,
                                                     int64_t head) {
  const auto& p = work.params;
  const Segment segment = segment_of_row(p, row);
  const int64_t kv_head = p.kv_head_of(head);
  const int64_t visible = segment.num_visible(row - segment.q_begin, p.causal);
  const auto q = load_row<kParts>(warp, p.q.at(row, head), p.head_dim);
  const auto grad = load_row<kParts>(warp, work.grad_out.at(row, head), p.head_dim);
  const T own_delta =
      dot_rows<T>(warp, grad, load_row<kParts>(warp, work.out.at(row, head), p.head_dim));
  const T lse = work.lse[row * p.num_heads + head];
  LaneRow<Warp, kParts> grad_q{};
  for (int64_t j = 0; j < visible; ++j) {
    const int64_t key_row = segment.key_row(j);
    const auto key = load_row<kParts>(warp, p.k.at(key_row, kv_head), p.head_dim);
    const auto value = load_row<kParts>(warp, p.v.at(key_row, kv_head), p.head_dim);
    const T weight = std::exp(p.scale * dot_rows<T>(warp, q, key) - lse);
    const T slope = p.scale * weight * (dot_rows<T>(warp, grad, value) - own_delta);
    accumulate(warp, grad_q, T{1}, key, slope);
  }
  store_row(warp, work.grad_q.at(row, head), p.head_dim, grad_q);
  warp.store_one(delta + row * p.num_heads + head, own_delta);
}

/// One key row of one kv head, and the gradients collected for it.
template <class Warp, int kParts>
struct KeyState {
  int64_t kv_head = 0;
  LaneRow<Warp, kParts> key, value, grad_k, grad_v;
};

/// Adds what the queries of one segment send to a key; `j` is its place among the segment's keys.
template <int kParts, class T, class Warp>
SGRPO_HOST_DEVICE void add_segment_to_key(const SegmentAttentionBackward<T>& work,
                                          const T* delta,
                                          const Warp& warp,
                                          const Segment& segment,
                                          int64_t j,
                                          KeyState<Warp, kParts>& state) {
  const auto& p = work.params;
  const int64_t per_kv = p.heads_per_kv(), first_head = state.kv_head * per_kv;
  const int64_t hidden = p.causal ? j - (segment.num_keys() - segment.num_queries()) : 0;
  for (int64_t query = hidden > 0 ? hidden : 0; query < segment.num_queries(); ++query) {
    const int64_t row = segment.q_begin + query;
    for (int64_t head = first_head; head < first_head + per_kv; ++head) {
      const auto q = load_row<kParts>(warp, p.q.at(row, head), p.head_dim);
      const auto grad = load_row<kParts>(warp, work.grad_out.at(row, head), p.head_dim);
      const int64_t place = row * p.num_heads + head;
      const T weight = std::exp(p.scale * dot_rows<T>(warp, q, state.key) - work.lse[place]);
      const T slope = p.scale * weight * (dot_rows<T>(warp, grad, state.value) - delta[place]);
      accumulate(warp, state.grad_k, T{1}, q, slope);
      accumulate(warp, state.grad_v, T{1}, grad, weight);
    }
  }
}

/// Backward to one key row and kv head: every query that sees it, segments in order, no atomics.
template <int kParts, class T, class Warp>
SGRPO_HOST_DEVICE void attention_backward_key_body(const SegmentAttentionBackward<T>& work,
                                                   const T* delta,
                                                   const Warp& warp,
                                                   int64_t key_row,
                                                   int64_t kv_head) {
  const auto& p = work.params;
  KeyState<Warp, kParts> state{kv_head,
                               load_row<kParts>(warp, p.k.at(key_row, kv_head), p.head_dim),
                               load_row<kParts>(warp, p.v.at(key_row, kv_head), p.head_dim),
                               {},
                               {}};
  for (int64_t s = 0; s < p.num_segments; ++s) {
    const Segment segment(p.segments + s * 6);
    if (key_row >= segment.prefix_begin && key_row < segment.prefix_end)
      add_segment_to_key(work, delta, warp, segment, key_row - segment.prefix_begin, state);
    if (key_row >= segment.self_begin && key_row < segment.self_end) {
      const int64_t j = segment.num_prefix() + key_row - segment.self_begin;
      add_segment_to_key(work, delta, warp, segment, j, state);
    }
  }
  store_row(warp, work.grad_k.at(key_row, kv_head), p.head_dim, state.grad_k);
  store_row(warp, work.grad_v.at(key_row, kv_head), p.head_dim, state.grad_v);
}

/// Calls `f` with Parts<n>, n the least of 1, 2, 4 and 8
/// that holds head_dim.
template <int kValue>
struct Parts {
  static constexpr int value = kValue;
};
template <class F>
auto with_parts(int64_t head_dim, const F& f) {
  if (head_dim <= 1 * kWarpLanes) return f(Parts<1>{});
  if (head_dim <= 2 * kWarpLanes) return f(Parts<2>{});
  if (head_dim <= 4 * kWarpLanes) return f(Parts<4>{});
  return f(Parts<8>{});
}
constexpr int64_t kLargestHeadDim = 8 * kWarpLanes;

}  // namespace sgrpo::kernels
