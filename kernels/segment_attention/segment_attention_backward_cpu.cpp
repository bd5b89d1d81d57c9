// Attention in float, backward: weights are made again from the log-sum-exp of the forward pass.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/segment_attention/segment_attention_blocks.h"

namespace sgrpo::kernels {
namespace {

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
void segment_attention_backward_cpu<float>(const SegmentAttentionBackward<float>& work,
                                           const int64_t* cluster,
                                           int64_t cluster_size,
                                           int64_t kv_head) {
  for (int64_t i = 0; i < cluster_size; ++i) {
    blocked_backward(work, Segment(work.params.segments + cluster[i] * 6), kv_head);
  }
}

}  // namespace sgrpo::kernels
