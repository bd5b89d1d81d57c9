#include <cmath>

#include "kernels/common/vec.h"
#include "kernels/layers/layers.h"

namespace sgrpo::kernels {
namespace {

SGRPO_INLINE float dot(const float* a, const float* b, int64_t n) {
  Vec lanes{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += load(a + i) * load(b + i);
  float total = sum(lanes);
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

SGRPO_INLINE Vec sigmoid(Vec x) {
  // exp(-x) saturates to 0 far above; far below it would leave exp's range, and 2e-35 is small
  // enough.
  const Vec bounded = x < -80.0f ? splat(-80.0f) : x;
  return 1.0f / (1.0f + exp(-bounded));
}

inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

SGRPO_MULTIVERSION
void rms_norm_forward_cpu(
    const RmsNormParams& params, float* out, float* rstd, int64_t begin, int64_t end) {
  const int64_t n = params.width;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = params.x.at(row);
    const float scale = 1.0f / std::sqrt(dot(x, x, n) / static_cast<float>(n) + params.eps);
    float* y = out + row * n;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      store(y + i, load(x + i) * scale * load(params.weight + i));
    for (; i < n; ++i) y[i] = x[i] * scale * params.weight[i];
    if (rstd != nullptr) rstd[row] = scale;
  }
}

SGRPO_MULTIVERSION
void rms_norm_backward_cpu(const RmsNormParams& params,
                           const float* grad,
                           const float* rstd,
                           float* grad_x,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end) {
  const int64_t n = params.width;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = params.x.at(row);
    const float* g = grad + row * n;
    float* dx = grad_x + row * n;
    const float scale = rstd[row];
    Vec lanes{};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Vec weighted = load(g + i) * load(params.weight + i);
      store(dx + i, weighted);
      lanes += weighted * load(x + i);
      store(grad_weight + i, load(grad_weight + i) + load(g + i) * load(x + i) * scale);
    }
    float total = sum(lanes);
    for (; i < n; ++i) {
      dx[i] = g[i] * params.weight[i];
      total += dx[i] * x[i];
      grad_weight[i] += g[i] * x[i] * scale;
    }
    const float pull = total / static_cast<float>(n) * scale * scale;
    for (i = 0; i + kLanes <= n; i += kLanes)
      store(dx + i, (load(dx + i) - load(x + i) * pull) * scale);
    for (; i < n; ++i) dx[i] = (dx[i] - x[i] * pull) * scale;
  }
}

SGRPO_MULTIVERSION
void rotate_cpu(const RotateParams& params, float* out, int64_t begin, int64_t end) {
  const int64_t half = params.head_dim / 2;
  const float sign = params.inverse ? -1.0f : 1.0f;
  for (int64_t row = begin; row < end; ++row) {
    const float* c = params.cos + row * half;
    const float* s = params.sin + row * half;
    for (int64_t head = 0; head < params.num_heads; ++head) {
      const float* x = params.x + row * params.row_stride + head * params.head_stride;
      float* y = out + (row * params.num_heads + head) * params.head_dim;
      int64_t i = 0;
      for (; i + kLanes <= half; i += kLanes) {
        const Vec a = load(x + i), b = load(x + half + i), cosine = load(c + i),
                  sine = load(s + i) * sign;
        store(y + i, a * cosine - b * sine);
        store(y + half + i, b * cosine + a * sine);
      }
      for (; i < half; ++i) {
        const float a = x[i], b = x[half + i], sine = s[i] * sign;
        y[i] = a * c[i] - b * sine;
        y[half + i] = b * c[i] + a * sine;
      }
    }
  }
}

SGRPO_MULTIVERSION
void swiglu_forward_cpu(
    const Rows& gate, const Rows& up, int64_t width, float* out, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* g = gate.at(row);
    const float* u = up.at(row);
    float* y = out + row * width;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Vec x = load(g + i);
      store(y + i, x * sigmoid(x) * load(u + i));
    }
    for (; i < width; ++i) y[i] = g[i] * sigmoid(g[i]) * u[i];
  }
}

SGRPO_MULTIVERSION
void swiglu_backward_cpu(const Rows& gate,
                         const Rows& up,
                         int64_t width,
                         const SwigluGradients& gradients,
                         int64_t begin,
                         int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* g = gate.at(row);
    const float* u = up.at(row);
    const int64_t at = row * width;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const Vec x = load(g + i), grad = load(gradients.grad + at + i), s = sigmoid(x);
      store(gradients.grad_gate + at + i, grad * load(u + i) * s * (1.0f + x * (1.0f - s)));
      store(gradients.grad_up + at + i, grad * x * s);
    }
    for (; i < width; ++i) {
      const float s = sigmoid(g[i]), grad = gradients.grad[at + i];
      gradients.grad_gate[at + i] = grad * u[i] * s * (1.0f + g[i] * (1.0f - s));
      gradients.grad_up[at + i] = grad * g[i] * s;
    }
  }
}

}  // namespace sgrpo::kernels
