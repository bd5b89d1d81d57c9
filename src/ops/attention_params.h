// Tensors of segment attention as its kernels take them.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::ops {

template <class T>
kernels::HeadRows<const T> head_rows(const at::Tensor& t) {
  return {t.const_data_ptr<T>(), t.stride(0), t.stride(1)};
}
template <class T>
kernels::HeadRows<T> mutable_head_rows(const at::Tensor& t) {
  return {t.data_ptr<T>(), t.stride(0), t.stride(1)};
}

/// `segments` on the device of the kernel.
template <class T>
kernels::SegmentAttentionParams<T> attention_params(const at::Tensor& q,
                                                    const at::Tensor& k,
                                                    const at::Tensor& v,
                                                    const at::Tensor& segments,
                                                    double scale,
                                                    bool causal) {
  return {.q = head_rows<T>(q),
          .k = head_rows<T>(k),
          .v = head_rows<T>(v),
          .segments = segments.const_data_ptr<int64_t>(),
          .num_segments = segments.size(0),
          .num_heads = q.size(1),
          .num_kv_heads = k.size(1),
          .head_dim = q.size(2),
          .scale = static_cast<T>(scale),
          .causal = causal};
}

}  // namespace sgrpo::ops
