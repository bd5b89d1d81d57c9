// CPU attention of packed segments. float: keys and values of a segment are packed once per kv
// head, then blocks of eight query rows run against sixteen keys at a time. double: plain loops,
// for gradient checks.
#include "kernels/segment_attention/segment_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/common/bf16.h"
#include "kernels/common/vec.h"
#include "kernels/segment_attention/segment.h"

namespace sgrpo::kernels {
namespace {

// Query vectors of one block: eight sums hide the latency of a fused multiply-add.
constexpr int64_t kRows = 8;
// Up to so many query vectors, reading keys and values in place costs less than packing them.
constexpr int64_t kDirectRows = kRows;

int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// -------------------------------------------------------------------------------------------------
// plain loops (double)

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T total = 0;
  for (int64_t i = 0; i < n; ++i) total += a[i] * b[i];
  return total;
}

template <class T>
void plain_forward(const SegmentAttentionForward<T>& work,
                   const Segment& segment,
                   int64_t kv_head) {
  const auto& p = work.params;
  const int64_t per_kv = p.num_heads / p.num_kv_heads;
  std::vector<T> weights(static_cast<size_t>(segment.num_keys()));
  for (int64_t query = 0; query < segment.num_queries(); ++query) {
    const int64_t row = segment.q_begin + query, visible = segment.num_visible(query, p.causal);
    for (int64_t head = kv_head * per_kv; head < (kv_head + 1) * per_kv; ++head) {
      T largest = -std::numeric_limits<T>::infinity();
      for (int64_t j = 0; j < visible; ++j) {
        const T score =
            p.scale * dot(p.q.at(row, head), p.k.at(segment.key_row(j), kv_head), p.head_dim);
        weights[static_cast<size_t>(j)] = score;
        largest = std::max(largest, score);
      }
      T total = 0;
      for (int64_t j = 0; j < visible; ++j) {
        T& weight = weights[static_cast<size_t>(j)];
        weight = std::exp(weight - largest);
        total += weight;
      }
      T* out = work.out.at(row, head);
      std::fill(out, out + p.head_dim, T{0});
      for (int64_t j = 0; j < visible; ++j) {
        const T weight = weights[static_cast<size_t>(j)] / total;
        const T* value = p.v.at(segment.key_row(j), kv_head);
        for (int64_t e = 0; e < p.head_dim; ++e) out[e] += weight * value[e];
      }
      if (work.lse != nullptr) work.lse[row * p.num_heads + head] = largest + std::log(total);
    }
  }
}

template <class T>
void plain_backward(const SegmentAttentionBackward<T>& work,
                    const Segment& segment,
                    int64_t kv_head) {
  const auto& p = work.params;
  const int64_t per_kv = p.num_heads / p.num_kv_heads;
  for (int64_t query = 0; query < segment.num_queries(); ++query) {
    const int64_t row = segment.q_begin + query, visible = segment.num_visible(query, p.causal);
    for (int64_t head = kv_head * per_kv; head < (kv_head + 1) * per_kv; ++head) {
      const T* grad = work.grad_out.at(row, head);
      const T delta = dot(grad, work.out.at(row, head), p.head_dim);
      const T lse = work.lse[row * p.num_heads + head];
      for (int64_t j = 0; j < visible; ++j) {
        const int64_t key = segment.key_row(j);
        const T weight =
            std::exp(p.scale * dot(p.q.at(row, head), p.k.at(key, kv_head), p.head_dim) - lse);
        const T slope = p.scale * weight * (dot(grad, p.v.at(key, kv_head), p.head_dim) - delta);
        T* grad_q = work.grad_q.at(row, head);
        T* grad_k = work.grad_k.at(key, kv_head);
        T* grad_v = work.grad_v.at(key, kv_head);
        for (int64_t e = 0; e < p.head_dim; ++e) {
          grad_q[e] += slope * p.k.at(key, kv_head)[e];
          grad_k[e] += slope * p.q.at(row, head)[e];
          grad_v[e] += weight * grad[e];
        }
      }
    }
  }
}

// -----------------------------------------------------------------------------------------------------
// blocked (float)

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

/// The block's weights exp(s - lse) and slopes weights * (grad v^T - delta).
SGRPO_INLINE void block_slopes(const SegmentAttentionBackward<float>& work,
                               const Packed& packed,
                               Block& block) {
  const auto& p = work.params;
  const int64_t keys = packed.keys, dims = packed.dims;
  rows_times_transposed(block.q.data(), packed.k_t.data(), dims, keys, block.weights.data());
  rows_times_transposed(block.grad.data(), packed.v_t.data(), dims, keys, block.slope.data());
  for (int64_t i = 0; i < kRows; ++i) {
    float* weights = block.weights.data() + i * keys;
    float* slope = block.slope.data() + i * keys;
    if (i >= block.count) {  // a repeated vector must not add to the gradients
      std::fill(weights, weights + keys, 0.0f);
      std::fill(slope, slope + keys, 0.0f);
      continue;
    }
    const float* out = work.out.at(block.row[i], block.head[i]);
    float delta = 0.0f;
    for (int64_t e = 0; e < p.head_dim; ++e)
      delta += block.grad[static_cast<size_t>(i * dims + e)] * out[e];
    exponentials(
        weights, block.visible[i], keys, work.lse[block.row[i] * p.num_heads + block.head[i]]);
    for (int64_t j = 0; j < keys; j += kLanes)
      store(slope + j, load(weights + j) * (load(slope + j) - delta));
  }
}

SGRPO_MULTIVERSION
void blocked_backward(const SegmentAttentionBackward<float>& work,
                      const Segment& segment,
                      int64_t kv_head) {
  const auto& p = work.params;
  Packed packed;
  pack(p, segment, kv_head, PackFor::kBackward, packed);
  const int64_t keys = packed.keys, dims = packed.dims;
  Block block;
  block.weights.resize(static_cast<size_t>(kRows * keys));
  block.slope.resize(static_cast<size_t>(kRows * keys));
  std::vector<float> result(static_cast<size_t>(kRows * dims));
  BlockCursor cursor(p, segment, kv_head);
  while (cursor.next(block, dims)) {
    block.grad.assign(static_cast<size_t>(kRows * dims), 0.0f);
    for (int64_t i = 0; i < kRows; ++i) {
      const float* grad = work.grad_out.at(block.row[i], block.head[i]);
      std::copy(grad, grad + p.head_dim, block.grad.begin() + i * dims);
    }
    const int64_t n = *std::max_element(block.visible, block.visible + kRows);
    block_slopes(work, packed, block);
    weights_times_matrix(block.slope.data(), packed.k.data(), n, keys, dims, result.data());
    for (int64_t i = 0; i < block.count; ++i) {
      float* grad_q = work.grad_q.at(block.row[i], block.head[i]);
      for (int64_t e = 0; e < p.head_dim; ++e)
        grad_q[e] += p.scale * result[static_cast<size_t>(i * dims + e)];
    }
    add_outer(block.slope.data(),
              block.q.data(),
              n,
              keys,
              dims,
              packed.grad_k.data());  // q already carries the scale
    add_outer(block.weights.data(), block.grad.data(), n, keys, dims, packed.grad_v.data());
  }
  for (int64_t j = 0; j < segment.num_keys(); ++j) {
    float* grad_k = work.grad_k.at(segment.key_row(j), kv_head);
    float* grad_v = work.grad_v.at(segment.key_row(j), kv_head);
    for (int64_t e = 0; e < p.head_dim; ++e) {
      grad_k[e] += packed.grad_k[static_cast<size_t>(j * dims + e)];
      grad_v[e] += packed.grad_v[static_cast<size_t>(j * dims + e)];
    }
  }
}

}  // namespace

template <>
void segment_attention_forward_cpu(const SegmentAttentionForward<double>& work,
                                   int64_t begin,
                                   int64_t end) {
  const int64_t kv_heads = work.params.num_kv_heads;
  for (int64_t item = begin; item < end; ++item) {
    plain_forward(work, Segment(work.params.segments + item / kv_heads * 6), item % kv_heads);
  }
}

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

template <>
void segment_attention_backward_cpu<double>(const SegmentAttentionBackward<double>& work,
                                            const int64_t* cluster,
                                            int64_t cluster_size,
                                            int64_t kv_head) {
  for (int64_t i = 0; i < cluster_size; ++i) {
    plain_backward(work, Segment(work.params.segments + cluster[i] * 6), kv_head);
  }
}

template <>
void segment_attention_backward_cpu<float>(const SegmentAttentionBackward<float>& work,
                                           const int64_t* cluster,
                                           int64_t cluster_size,
                                           int64_t kv_head) {
  for (int64_t i = 0; i < cluster_size; ++i) {
    blocked_backward(work, Segment(work.params.segments + cluster[i] * 6), kv_head);
  }
}

}  // namespace sgrpo::kernels
