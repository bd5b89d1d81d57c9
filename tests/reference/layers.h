// Slow twins of norm, rotary and SwiGLU: plain formulas in double, differentiable.
#pragma once

#include <ATen/ATen.h>

namespace sgrpo::reference {

inline at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x / at::sqrt(x.square().mean(-1, true) + eps) * weight;
}

/// Turns the pair (x_i, x_{i+E/2}) by its angle; x [T,heads,E], cos and sin [T,E/2].
inline at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t half = x.size(2) / 2;
  const at::Tensor a = x.slice(2, 0, half), b = x.slice(2, half), c = cos.unsqueeze(1),
                   s = sin.unsqueeze(1);
  return at::cat({a * c - b * s, b * c + a * s}, 2);
}

inline at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return gate / (1.0 + at::exp(-gate)) * up;
}

}  // namespace sgrpo::reference
