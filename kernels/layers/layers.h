// Elementwise and row-wise layers of a transformer block: RMS norm, rotary, SwiGLU; forward and
// backward. Numbers are stored as float or bfloat16 and computed in f32.
#pragma once

#include <cstdint>

#include "kernels/common/bf16_number.h"
#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

/// Rows of `width` contiguous numbers, `stride` numbers apart.
template <class T>
struct Rows {
  const T* data = nullptr;
  int64_t stride = 0;

  SGRPO_HOST_DEVICE const T* at(int64_t row) const { return data + row * stride; }
};

template <class T>
struct RmsNormParams {
  Rows<T> x;
  const T* weight = nullptr;  // [D]
  int64_t width = 0;          // D
  float eps = 0.0f;
};

/// out[i] = x[i] / sqrt(mean(x[i]^2) + eps), rounded to T, * weight; rstd[i] is the factor (may be
/// null). out is [N, D] contiguous. bytes: x once, out once.
void rms_norm_forward_cpu(
    const RmsNormParams<float>& params, float* out, float* rstd, int64_t begin, int64_t end);
void rms_norm_forward_cpu(
    const RmsNormParams<Bf16>& params, Bf16* out, float* rstd, int64_t begin, int64_t end);

/// grad_x [N, D]; grad_weight [D], which may be null, is added to. With g = grad * weight:
///   grad_x = rstd (g - x rstd^2 mean(g x)),  grad_weight += sum over rows of grad x rstd
template <class T>
struct RmsNormGradients {
  const T* grad = nullptr;      // [N, D]
  const float* rstd = nullptr;  // [N]
  T* grad_x = nullptr;          // [N, D]
};
void rms_norm_backward_cpu(const RmsNormParams<float>& params,
                           const RmsNormGradients<float>& gradients,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end);
void rms_norm_backward_cpu(const RmsNormParams<Bf16>& params,
                           const RmsNormGradients<Bf16>& gradients,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end);

template <class T>
struct RotateParams {
  const T* x = nullptr;  // [T, heads, E], E contiguous
  int64_t row_stride = 0, head_stride = 0;
  const float* cos = nullptr;  // [T, E/2]
  const float* sin = nullptr;  // [T, E/2]
  int64_t num_heads = 0, head_dim = 0;
  bool inverse = false;  // rotates backwards: the gradient of a rotation
};

/// (x_i, x_{i+E/2}) -> (x_i c - x_{i+E/2} s, x_{i+E/2} c + x_i s); out is [T, heads, E] contiguous.
void rotate_cpu(const RotateParams<float>& params, float* out, int64_t begin, int64_t end);
void rotate_cpu(const RotateParams<Bf16>& params, Bf16* out, int64_t begin, int64_t end);

template <class T>
struct SwigluParams {
  Rows<T> gate, up;
  int64_t width = 0;  // F
};

/// out = silu(gate) * up, [N, F] contiguous.
void swiglu_forward_cpu(const SwigluParams<float>& params, float* out, int64_t begin, int64_t end);
void swiglu_forward_cpu(const SwigluParams<Bf16>& params, Bf16* out, int64_t begin, int64_t end);

/// With s = sigmoid(gate): grad_gate = grad up s (1 + gate (1 - s)), grad_up = grad gate s.
template <class T>
struct SwigluGradients {
  const T* grad = nullptr;  // [N, F]
  T* grad_gate = nullptr;   // [N, F]
  T* grad_up = nullptr;     // [N, F]
};
void swiglu_backward_cpu(const SwigluParams<float>& params,
                         const SwigluGradients<float>& gradients,
                         int64_t begin,
                         int64_t end);
void swiglu_backward_cpu(const SwigluParams<Bf16>& params,
                         const SwigluGradients<Bf16>& gradients,
                         int64_t begin,
                         int64_t end);

}  // namespace sgrpo::kernels
