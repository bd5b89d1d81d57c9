// Elementwise and row-wise layers of a transformer block: RMS norm, rotary, SwiGLU; forward and
// backward, f32.
#pragma once

#include <cstdint>

namespace sgrpo::kernels {

/// Rows of `width` contiguous floats, `stride` floats apart.
struct Rows {
  const float* data = nullptr;
  int64_t stride = 0;

  const float* at(int64_t row) const { return data + row * stride; }
};

struct RmsNormParams {
  Rows x;
  const float* weight = nullptr;  // [D]
  int64_t width = 0;              // D
  float eps = 0.0f;
};

/// out[i] = x[i] / sqrt(mean(x[i]^2) + eps) * weight; rstd[i] is the factor (may be null). out is
/// [N, D] contiguous. bytes: x once, out once.
void rms_norm_forward_cpu(
    const RmsNormParams& params, float* out, float* rstd, int64_t begin, int64_t end);

/// grad_x [N, D]; grad_weight [D] is added to. With g = grad * weight:
///   grad_x = rstd (g - x rstd^2 mean(g x)),  grad_weight += sum over rows of grad x rstd
void rms_norm_backward_cpu(const RmsNormParams& params,
                           const float* grad,
                           const float* rstd,
                           float* grad_x,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end);

struct RotateParams {
  const float* x = nullptr;  // [T, heads, E], E contiguous
  int64_t row_stride = 0, head_stride = 0;
  const float* cos = nullptr;  // [T, E/2]
  const float* sin = nullptr;  // [T, E/2]
  int64_t num_heads = 0, head_dim = 0;
  bool inverse = false;  // rotates backwards: the gradient of a rotation
};

/// (x_i, x_{i+E/2}) -> (x_i c - x_{i+E/2} s, x_{i+E/2} c + x_i s); out is [T, heads, E] contiguous.
void rotate_cpu(const RotateParams& params, float* out, int64_t begin, int64_t end);

/// out = silu(gate) * up, [N, F] contiguous.
void swiglu_forward_cpu(
    const Rows& gate, const Rows& up, int64_t width, float* out, int64_t begin, int64_t end);

/// With s = sigmoid(gate): grad_gate = grad up s (1 + gate (1 - s)), grad_up = grad gate s.
struct SwigluGradients {
  const float* grad = nullptr;  // [N, F]
  float* grad_gate = nullptr;   // [N, F]
  float* grad_up = nullptr;     // [N, F]
};
void swiglu_backward_cpu(const Rows& gate,
                         const Rows& up,
                         int64_t width,
                         const SwigluGradients& gradients,
                         int64_t begin,
                         int64_t end);

}  // namespace sgrpo::kernels
