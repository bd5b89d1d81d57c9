// Segment attention of every backend: what its kernels take and give, tensors
// in, tensors out.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::ops {

/// Arguments of the op; the table is a checked plan's and lies where the kernels read it.
struct AttentionInput {
  at::Tensor q, k, v, table;
  double scale = 1.0;
  bool causal = true;
};

template <class T>
kernels::HeadRows<const T> head_rows(const at::Tensor& t) {
  return {static_cast<const T*>(t.const_data_ptr()), t.stride(0), t.stride(1)};
}
template <class T>
kernels::HeadRows<T> mutable_head_rows(const at::Tensor& t) {
  return {t.data_ptr<T>(), t.stride(0), t.stride(1)};
}

template <class T, class Stored = T>
kernels::SegmentAttentionParams<T, Stored> attention_params(const AttentionInput& input) {
  return {.q = head_rows<T>(input.q),
          .k = head_rows<Stored>(input.k),
          .v = head_rows<Stored>(input.v),
          .segments = input.table.const_data_ptr<int64_t>(),
          .num_segments = input.table.size(0),
          .num_heads = input.q.size(1),
          .num_kv_heads = input.k.size(1),
          .head_dim = input.q.size(2),
          .scale = static_cast<T>(input.scale),
          .causal = input.causal};
}

/// The result and its log-sum-exps. `launch` runs the kernel of one
/// SegmentAttentionForward. bfloat16: queries and the result are cast as a
/// whole, keys and values (a cache, of which a step may see little) are read as
/// they lie. Sums must be f32 anyway.
template <class Launch>
std::tuple<at::Tensor, at::Tensor> attention_forward(AttentionInput input, const Launch& launch) {
  const bool is_narrow = input.q.scalar_type() == at::kBFloat16;
  if (is_narrow) input.q = input.q.to(at::kFloat);
  at::Tensor out = at::empty(input.q.sizes(), input.q.options());
  at::Tensor lse = at::empty({input.q.size(0), input.q.size(1)}, input.q.options());
  const auto run = [&]<class T, class Stored>(T, Stored) {
    launch(kernels::SegmentAttentionForward<T, Stored>{.params = attention_params<T, Stored>(input),
                                                       .out = mutable_head_rows<T>(out),
                                                       .lse = lse.data_ptr<T>()});
  };
  if (is_narrow) {
    run(float{}, kernels::Bf16{});
    return {out.to(at::kBFloat16), lse};
  }
  out.scalar_type() == at::kDouble ? run(double{}, double{}) : run(float{}, float{});
  return {out, lse};
}

/// What the backward takes from the forward, and the gradient of its result.
struct AttentionSaved {
  at::Tensor grad, out, lse;
};

/// Gradients of q, k and v. `launch` runs the kernels of one
/// SegmentAttentionBackward. A training pass sees all keys: bfloat16 is cast as
/// a whole.
template <class Launch>
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward(AttentionInput input,
                                                                  AttentionSaved saved,
                                                                  const Launch& launch) {
  const auto type = input.q.scalar_type();
  if (type == at::kBFloat16) {
    for (at::Tensor* t : {&input.q, &input.k, &input.v, &saved.grad, &saved.out})
      *t = t->to(at::kFloat);
  }
  // The gradient of an expanded result may have a strided last dimension, which
  // no kernel takes.
  if (saved.grad.stride(2) != 1) saved.grad = saved.grad.contiguous();
  at::Tensor grad_q = at::zeros(input.q.sizes(), input.q.options());
  at::Tensor grad_k = at::zeros(input.k.sizes(), input.k.options());
  at::Tensor grad_v = at::zeros(input.v.sizes(), input.v.options());
  const auto run = [&]<class T>(T) {
    launch(kernels::SegmentAttentionBackward<T>{.params = attention_params<T>(input),
                                                .out = head_rows<T>(saved.out),
                                                .grad_out = head_rows<T>(saved.grad),
                                                .lse = saved.lse.const_data_ptr<T>(),
                                                .grad_q = mutable_head_rows<T>(grad_q),
                                                .grad_k = mutable_head_rows<T>(grad_k),
                                                .grad_v = mutable_head_rows<T>(grad_v)});
  };
  grad_q.scalar_type() == at::kDouble ? run(double{}) : run(float{});
  return {grad_q.to(type), grad_k.to(type), grad_v.to(type)};
}

}  // namespace sgrpo::ops
