// Attention in float, forward. A prompt's many query vectors share packed keys; a decoded token's
// few read keys and values in place. Both run every sum in the same order.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/segment_attention/segment_attention_blocks.h"

namespace sgrpo::kernels {
namespace {

// Up to so many query vectors, reading keys and values in place costs less than packing them.
constexpr int64_t kDirectRows = kRows;

/// The largest of the first `visible` scores; those beyond become -inf.
SGRPO_INLINE float largest(float* scores, int64_t visible, int64_t keys) {
  for (int64_t j = visible; j < keys; ++j) scores[j] = -std::numeric_limits<float>::infinity();
  Vec top = load(scores);
  for (int64_t j = kLanes; j < keys; j += kLanes) top = max(top, load(scores + j));
  return max_lane(top);
}

template <class Stored>
SGRPO_INLINE void blocked_forward(const SegmentAttentionForward<float, Stored>& work,
                                  const Segment& segment,
                                  int64_t kv_head) {
  const auto& p = work.params;
  Packed packed;
  pack(p, segment, kv_head, PackFor::kForward, packed);
  const int64_t keys = packed.keys, dims = packed.dims;
  Block block;
  block.weights.resize(static_cast<size_t>(kRows * keys));
  std::vector<float> result(static_cast<size_t>(kRows * dims));
  BlockCursor cursor(p, segment, kv_head);
  while (cursor.next(block, dims)) {
    float* weights = block.weights.data();
    const int64_t n = *std::max_element(block.visible, block.visible + kRows);
    rows_times_transposed(block.q.data(), packed.k_t.data(), dims, keys, weights);
    float total[kRows], top[kRows];
    for (int64_t i = 0; i < kRows; ++i) {
      top[i] = largest(weights + i * keys, block.visible[i], keys);
      total[i] = exponentials(weights + i * keys, block.visible[i], keys, top[i]);
    }
    weights_times_matrix(weights, packed.v.data(), n, keys, dims, result.data());
    for (int64_t i = 0; i < block.count; ++i) {
      float* out = work.out.at(block.row[i], block.head[i]);
      const float inverse = 1.0f / total[i];
      for (int64_t e = 0; e < p.head_dim; ++e)
        out[e] = result[static_cast<size_t>(i * dims + e)] * inverse;
      if (work.lse != nullptr)
        work.lse[block.row[i] * p.num_heads + block.head[i]] = top[i] + std::log(total[i]);
    }
  }
}

/// Sixteen keys from the j-th visible one on, transposed: [head_dim, kLanes]; the last one again
/// where there are fewer.
template <class Stored>
SGRPO_INLINE void transpose_keys(const SegmentAttentionParams<float, Stored>& p,
                                 const Segment& segment,
                                 int64_t kv_head,
                                 int64_t j,
                                 float* keys_t) {
  const int64_t count = std::min(kLanes, segment.num_keys() - j);
  const int64_t full = p.head_dim / kLanes * kLanes;
  const Stored* keys[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane)  // beyond the last: any key, never looked at
    keys[lane] = p.k.at(segment.key_row(j + std::min(lane, count - 1)), kv_head);
  for (int64_t e = 0; e < full; e += kLanes) {
    Vec block[kLanes];
#pragma GCC unroll 16
    for (int64_t lane = 0; lane < kLanes; ++lane) block[lane] = load(keys[lane] + e);
    transpose(block);
#pragma GCC unroll 16
    for (int64_t lane = 0; lane < kLanes; ++lane) store(keys_t + (e + lane) * kLanes, block[lane]);
  }
  for (int64_t e = full; e < p.head_dim; ++e)
    for (int64_t lane = 0; lane < kLanes; ++lane) keys_t[e * kLanes + lane] = get(keys[lane] + e);
}

/// A few query vectors (decoding): keys are transposed sixteen at a time, values read in place.
/// Every sum runs in the order of blocked_forward, so that a token's attention has the same bits
/// whether it is decoded alone or scored among others.
template <class Stored>
SGRPO_INLINE void direct_forward(const SegmentAttentionForward<float, Stored>& work,
                                 const Segment& segment,
                                 int64_t kv_head) {
  const auto& p = work.params;
  const int64_t full = p.head_dim / kLanes * kLanes;
  const int64_t keys = round_up(segment.num_keys()), dims = round_up(p.head_dim);
  Block block;
  BlockCursor cursor(p, segment, kv_head);
  std::vector<float> weights(static_cast<size_t>(kRows * keys));
  std::vector<float> keys_t(static_cast<size_t>(dims * kLanes), 0.0f);
  float scores[kRows * kLanes];
  while (cursor.next(block, dims)) {
    for (int64_t j = 0; j < segment.num_keys(); j += kLanes) {
      transpose_keys(p, segment, kv_head, j, keys_t.data());
      rows_times_transposed(block.q.data(), keys_t.data(), dims, kLanes, scores);
      for (int64_t i = 0; i < block.count; ++i)
        store(weights.data() + i * keys + j, load(scores + i * kLanes));
    }
    for (int64_t i = 0; i < block.count; ++i) {
      float* row = weights.data() + i * keys;
      const float top = largest(row, block.visible[i], keys);
      const float total = exponentials(row, block.visible[i], keys, top);
      float* out = work.out.at(block.row[i], block.head[i]);
      std::fill(out, out + p.head_dim, 0.0f);
      for (int64_t j = 0; j < block.visible[i]; ++j) {
        const Stored* value = p.v.at(segment.key_row(j), kv_head);
        for (int64_t e = 0; e < full; e += kLanes)
          store(out + e, load(out + e) + load(value + e) * row[j]);
        for (int64_t e = full; e < p.head_dim; ++e) out[e] += row[j] * get(value + e);
      }
      const float inverse = 1.0f / total;
      for (int64_t e = 0; e < p.head_dim; ++e) out[e] *= inverse;
      if (work.lse != nullptr)
        work.lse[block.row[i] * p.num_heads + block.head[i]] = top + std::log(total);
    }
  }
}

template <class Stored>
SGRPO_INLINE void forward_items(const SegmentAttentionForward<float, Stored>& work,
                                int64_t begin,
                                int64_t end) {
  const int64_t kv_heads = work.params.num_kv_heads;
  const int64_t per_kv = work.params.num_heads / kv_heads;
  for (int64_t item = begin; item < end; ++item) {
    const Segment segment(work.params.segments + item / kv_heads * 6);
    if (segment.num_queries() * per_kv > kDirectRows) {
      blocked_forward(work, segment, item % kv_heads);
    } else {
      direct_forward(work, segment, item % kv_heads);
    }
  }
}
SGRPO_MULTIVERSION
void forward_items_of_float(const SegmentAttentionForward<float>& work,
                            int64_t begin,
                            int64_t end) {
  forward_items(work, begin, end);
}
SGRPO_MULTIVERSION
void forward_items_of_bf16(const SegmentAttentionForward<float, Bf16>& work,
                           int64_t begin,
                           int64_t end) {
  forward_items(work, begin, end);
}

}  // namespace

template <>
void segment_attention_forward_cpu(const SegmentAttentionForward<float>& work,
                                   int64_t begin,
                                   int64_t end) {
  forward_items_of_float(work, begin, end);
}

template <>
void segment_attention_forward_cpu(const SegmentAttentionForward<float, Bf16>& work,
                                   int64_t begin,
                                   int64_t end) {
  forward_items_of_bf16(work, begin, end);
}

}  // namespace sgrpo::kernels
