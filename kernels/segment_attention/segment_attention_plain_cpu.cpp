// Attention in double: plain loops, one query vector after the other.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/segment_attention/segment.h"
#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::kernels {
namespace {

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
void segment_attention_backward_cpu<double>(const SegmentAttentionBackward<double>& work,
                                            const int64_t* cluster,
                                            int64_t cluster_size,
                                            int64_t kv_head) {
  for (int64_t i = 0; i < cluster_size; ++i) {
    plain_backward(work, Segment(work.params.segments + cluster[i] * 6), kv_head);
  }
}

}  // namespace sgrpo::kernels
