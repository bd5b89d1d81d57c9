// What the CPU's and CUDA's layers share: which tensors the kernels take, and as what.
#pragma once

#include <ATen/ATen.h>

#include "kernels/layers/layers.h"

namespace sgrpo::ops {

/// Whether the kernels read both as they are; the compositions take everything else.
inline bool has_kernel(const at::Tensor& x, const at::Tensor& other) {
  return x.scalar_type() == other.scalar_type() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/// Runs `kernel` with a null pointer to the type in which `x` is stored.
template <class Kernel>
void with_storage(const at::Tensor& x, const Kernel& kernel) {
  x.scalar_type() == at::kFloat ? kernel(static_cast<float*>(nullptr))
                                : kernel(static_cast<kernels::Bf16*>(nullptr));
}

template <class T>
const T* data_of(const at::Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <class T>
T* mutable_data_of(const at::Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

/// Rows of the last dimension without a copy where the strides allow it.
inline at::Tensor as_rows(const at::Tensor& x) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  return rows.stride(1) == 1 ? rows : rows.contiguous();
}

template <class T>
kernels::Rows<T> rows_of(const at::Tensor& rows) {
  return {data_of<T>(rows), rows.stride(0)};
}

template <class T>
kernels::RmsNormParams<T> norm_params(const at::Tensor& rows,
                                      const at::Tensor& weight,
                                      double eps) {
  return {.x = rows_of<T>(rows),
          .weight = data_of<T>(weight),
          .width = rows.size(1),
          .eps = static_cast<float>(eps)};
}

template <class T>
kernels::SwigluParams<T> swiglu_params(const at::Tensor& gate, const at::Tensor& up) {
  return {rows_of<T>(gate), rows_of<T>(up), gate.size(1)};
}

inline void check_rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  TORCH_CHECK_VALUE(x.dim() == 3 && x.size(2) % 2 == 0,
                    "x has shape ",
                    x.sizes(),
                    ", expected [T, heads, even E]");
  TORCH_CHECK_VALUE(cos.size(0) == x.size(0) && cos.size(1) == x.size(2) / 2 &&
                        cos.is_contiguous() && sin.is_contiguous() && sin.sizes() == cos.sizes(),
                    "cos and sin must be contiguous [T, E/2] with T = ",
                    x.size(0));
}

/// x's last dimension is contiguous.
template <class T>
kernels::RotateParams<T> rotate_params(const at::Tensor& x,
                                       const at::Tensor& cos,
                                       const at::Tensor& sin,
                                       bool inverse) {
  return {.x = data_of<T>(x),
          .row_stride = x.stride(0),
          .head_stride = x.stride(1),
          .cos = cos.const_data_ptr<float>(),
          .sin = sin.const_data_ptr<float>(),
          .num_heads = x.size(1),
          .head_dim = x.size(2),
          .inverse = inverse};
}

inline void check_swiglu(const at::Tensor& gate, const at::Tensor& up) {
  TORCH_CHECK_VALUE(gate.dim() == 2 && gate.sizes() == up.sizes(),
                    "gate has shape ",
                    gate.sizes(),
                    ", up ",
                    up.sizes());
}

}  // namespace sgrpo::ops
