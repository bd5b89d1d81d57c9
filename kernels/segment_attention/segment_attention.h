// Attention of packed segments (prompt tries, vision windows, decoding): raw pointers in, raw
// pointers out.
//
// Segment table, int64 [S, 6]: q_begin, q_end, prefix_begin, prefix_end, self_begin, self_end.
// Query row j of a segment sees all prefix keys, then its own keys: all of them, or, when causal,
// those up to self_end - (q_end - q_begin) + j.
#pragma once

#include <cstdint>

#include "kernels/common/bf16_number.h"
#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

/// One tensor of rows x heads x head_dim; head_dim is contiguous.
template <class T>
struct HeadRows {
  T* data = nullptr;
  int64_t row_stride = 0;
  int64_t head_stride = 0;

  SGRPO_HOST_DEVICE T* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }
};

/// T computes; keys and values are read as they are stored, so that a cache of bfloat16 is never
/// widened as a whole.
template <class T, class Stored = T>
struct SegmentAttentionParams {
  HeadRows<const T> q;
  HeadRows<const Stored> k, v;
  const int64_t* segments = nullptr;  // [S, 6]
  int64_t num_segments = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  T scale = 1;
  bool causal = true;

  /// In 32 bits: on a GPU a division of 64 is a call.
  SGRPO_HOST_DEVICE int32_t heads_per_kv() const {
    return static_cast<int32_t>(num_heads) / static_cast<int32_t>(num_kv_heads);
  }
  SGRPO_HOST_DEVICE int64_t kv_head_of(int64_t head) const {
    return static_cast<int32_t>(head) / heads_per_kv();
  }
};

template <class T, class Stored = T>
struct SegmentAttentionForward {
  SegmentAttentionParams<T, Stored> params;
  HeadRows<T> out;   // [Tq, H, E]
  T* lse = nullptr;  // [Tq, H]: log of the sum of exponentials, for the backward; may be null
};

template <class T>
struct SegmentAttentionBackward {
  SegmentAttentionParams<T> params;
  HeadRows<const T> out, grad_out;
  const T* lse = nullptr;
  HeadRows<T> grad_q, grad_k, grad_v;  // zero on entry
};

/// Forward of work items [begin, end); item = segment * num_kv_heads + kv_head. Items are
/// independent. flops: 4 * E * (visible query-key pairs) * H. bytes: q, k, v once per segment, out
/// once. For float, float with Bf16 stored, and double.
template <class T, class Stored = T>
void segment_attention_forward_cpu(const SegmentAttentionForward<T, Stored>& work,
                                   int64_t begin,
                                   int64_t end);

/// Backward of one cluster of segments (indices) for one kv head. Clusters share no keys, so that
/// different clusters and heads may run at the same time; inside, sums run in segment order. flops:
/// 10 * E * (visible pairs) * H.
template <class T>
void segment_attention_backward_cpu(const SegmentAttentionBackward<T>& work,
                                    const int64_t* cluster,
                                    int64_t cluster_size,
                                    int64_t kv_head);

}  // namespace sgrpo::kernels
