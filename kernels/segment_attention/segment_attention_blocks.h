// Blocks of query vectors against the packed keys of a segment: what both passes in float share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/common/bf16.h"
#include "kernels/common/vec.h"
#include "kernels/segment_attention/segment.h"
#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::kernels {

// Query vectors of one block: eight sums hide the latency of a fused multiply-add.
constexpr int64_t kRows = 8;

inline int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

/// Packed operands of one (segment, kv head), zero padded to multiples of sixteen.
struct Packed {
  int64_t keys = 0, dims = 0;         // padded counts
  std::vector<float> k, v, k_t, v_t;  // [keys, dims] and transposed [dims, keys]
  std::vector<float> grad_k, grad_v;  // [keys, dims]
};

enum class PackFor { kForward, kBackward };

template <class Stored>
void pack(const SegmentAttentionParams<float, Stored>& p,
          const Segment& segment,
          int64_t kv_head,
          PackFor use,
          Packed& packed) {
  const int64_t n = segment.num_keys();
  packed.keys = round_up(n);
  packed.dims = round_up(p.head_dim);
  const auto size = static_cast<size_t>(packed.keys * packed.dims);
  packed.k_t.assign(size, 0.0f);
  packed.v.assign(size, 0.0f);
  if (use == PackFor::kBackward) {
    packed.k.assign(size, 0.0f);
    packed.v_t.assign(size, 0.0f);
    packed.grad_k.assign(size, 0.0f);
    packed.grad_v.assign(size, 0.0f);
  }
  for (int64_t j = 0; j < n; ++j) {
    const Stored* key = p.k.at(segment.key_row(j), kv_head);
    const Stored* value = p.v.at(segment.key_row(j), kv_head);
    for (int64_t e = 0; e < p.head_dim; ++e)
      packed.v[static_cast<size_t>(j * packed.dims + e)] = get(value + e);
    for (int64_t e = 0; e < p.head_dim; ++e)
      packed.k_t[static_cast<size_t>(e * packed.keys + j)] = get(key + e);
    if (use == PackFor::kForward) continue;
    for (int64_t e = 0; e < p.head_dim; ++e)
      packed.k[static_cast<size_t>(j * packed.dims + e)] = get(key + e);
    for (int64_t e = 0; e < p.head_dim; ++e)
      packed.v_t[static_cast<size_t>(e * packed.keys + j)] = get(value + e);
  }
}

/// Up to kRows query vectors that see the same keys, zero padded.
struct Block {
  int64_t count = 0;
  int64_t row[kRows] = {}, head[kRows] = {}, visible[kRows] = {};
  std::vector<float> q, grad;         // [kRows, dims]
  std::vector<float> weights, slope;  // [kRows, keys]
};

/// Query vectors of a segment in the order (query, head), kRows at a time.
template <class Stored>
class BlockCursor {
 public:
  BlockCursor(const SegmentAttentionParams<float, Stored>& p,
              const Segment& segment,
              int64_t kv_head)
      : p_(p),
        segment_(segment),
        per_kv_(p.num_heads / p.num_kv_heads),
        first_head_(kv_head * per_kv_) {}

  bool next(Block& block, int64_t dims) {
    const int64_t total = segment_.num_queries() * per_kv_;
    if (position_ >= total) return false;
    block.count = std::min(kRows, total - position_);
    block.q.assign(static_cast<size_t>(kRows * dims), 0.0f);
    for (int64_t i = 0; i < kRows; ++i) {
      const int64_t at =
          position_ + std::min(i, block.count - 1);  // the last vector again: its result is dropped
      const int64_t query = at / per_kv_;
      block.row[i] = segment_.q_begin + query;
      block.head[i] = first_head_ + at % per_kv_;
      block.visible[i] = segment_.num_visible(query, p_.causal);
      const float* q = p_.q.at(block.row[i], block.head[i]);
      for (int64_t e = 0; e < p_.head_dim; ++e)
        block.q[static_cast<size_t>(i * dims + e)] = q[e] * p_.scale;
    }
    position_ += block.count;
    return true;
  }

 private:
  const SegmentAttentionParams<float, Stored>& p_;
  const Segment& segment_;
  int64_t per_kv_, first_head_, position_ = 0;
};

/// out[kRows, keys] = rows[kRows, dims] * matrix_t[dims, keys]
SGRPO_INLINE void rows_times_transposed(
    const float* rows, const float* matrix_t, int64_t dims, int64_t keys, float* out) {
  for (int64_t j = 0; j < keys; j += kLanes) {
    Vec sums[kRows] = {};
    for (int64_t e = 0; e < dims; ++e) {
      const Vec m = load(matrix_t + e * keys + j);
#pragma GCC unroll 8
      for (int64_t i = 0; i < kRows; ++i) sums[i] += m * rows[i * dims + e];
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < kRows; ++i) store(out + i * keys + j, sums[i]);
  }
}

/// out[kRows, dims] = weights[kRows, keys] * matrix[keys, dims], over the first n keys
SGRPO_INLINE void weights_times_matrix(
    const float* weights, const float* matrix, int64_t n, int64_t keys, int64_t dims, float* out) {
  for (int64_t e = 0; e < dims; e += kLanes) {
    Vec sums[kRows] = {};
    for (int64_t j = 0; j < n; ++j) {
      const Vec m = load(matrix + j * dims + e);
#pragma GCC unroll 8
      for (int64_t i = 0; i < kRows; ++i) sums[i] += m * weights[i * keys + j];
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < kRows; ++i) store(out + i * dims + e, sums[i]);
  }
}

/// grad[keys, dims] += weights[kRows, keys]^T * rows[kRows, dims], over the first n keys
SGRPO_INLINE void add_outer(
    const float* weights, const float* rows, int64_t n, int64_t keys, int64_t dims, float* grad) {
  for (int64_t e = 0; e < dims; e += kLanes) {
    Vec row[kRows];
#pragma GCC unroll 8
    for (int64_t i = 0; i < kRows; ++i) row[i] = load(rows + i * dims + e);
    for (int64_t j = 0; j < n; ++j) {
      Vec even = load(grad + j * dims + e), odd{};
#pragma GCC unroll 8
      for (int64_t i = 0; i < kRows; i += 2) {
        even += row[i] * weights[i * keys + j];
        odd += row[i + 1] * weights[(i + 1) * keys + j];
      }
      store(grad + j * dims + e, even + odd);
    }
  }
}

/// exp(scores - shift) for the first `visible` keys, 0 beyond; returns the sum.
SGRPO_INLINE float exponentials(float* scores, int64_t visible, int64_t keys, float shift) {
  for (int64_t j = visible; j < keys; ++j) scores[j] = -std::numeric_limits<float>::infinity();
  Vec total{};
  for (int64_t j = 0; j < keys; j += kLanes) {
    const Vec weight = exp(load(scores + j) - shift);
    store(scores + j, weight);
    total += weight;
  }
  return sum(total);
}

}  // namespace sgrpo::kernels
