#include <cmath>

#include "kernels/common/bf16.h"
#include "kernels/layers/layers.h"

namespace sgrpo::kernels {
namespace {

SGRPO_INLINE Vec sigmoid(Vec x) {
  // exp(-x) saturates to 0 far above; far below it would leave exp's range, and 2e-35 is small
  // enough.
  const Vec bounded = x < -80.0f ? splat(-80.0f) : x;
  return 1.0f / (1.0f + exp(-bounded));
}

inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

template <class T>
SGRPO_INLINE float sum_of_squares(const T* x, int64_t n) {
  Vec lanes{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += load(x + i) * load(x + i);
  float total = sum(lanes);
  for (; i < n; ++i) total += get(x + i) * get(x + i);
  return total;
}

template <class T>
SGRPO_INLINE void rms_norm_forward(
    const RmsNormParams<T>& params, T* out, float* rstd, int64_t begin, int64_t end) {
  const int64_t n = params.width;
  const T* w = params.weight;
  for (int64_t row = begin; row < end; ++row) {
    const T* x = params.x.at(row);
    const float scale = 1.0f / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + params.eps);
    T* y = out + row * n;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      store(y + i, rounded<T>(load(x + i) * scale) * load(w + i));
    for (; i < n; ++i) put(y + i, rounded<T>(get(x + i) * scale) * get(w + i));
    if (rstd != nullptr) rstd[row] = scale;
  }
}

template <class T>
SGRPO_INLINE void rms_norm_backward(const RmsNormParams<T>& params,
                                    const RmsNormGradients<T>& gradients,
                                    float* grad_weight,
                                    int64_t begin,
                                    int64_t end) {
  const int64_t n = params.width;
  const T* w = params.weight;
  for (int64_t row = begin; row < end; ++row) {
    const T* x = params.x.at(row);
    const T* g = gradients.grad + row * n;
    T* dx = gradients.grad_x + row * n;
    const float scale = gradients.rstd[row];
    Vec lanes{};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Vec grad = load(g + i), value = load(x + i);
      lanes += grad * load(w + i) * value;
      if (grad_weight != nullptr)
        store(grad_weight + i, load(grad_weight + i) + grad * value * scale);
    }
    float total = sum(lanes);
    for (; i < n; ++i) {
      total += get(g + i) * get(w + i) * get(x + i);
      if (grad_weight != nullptr) grad_weight[i] += get(g + i) * get(x + i) * scale;
    }
    const float pull = total / static_cast<float>(n) * scale * scale;
    for (i = 0; i + kLanes <= n; i += kLanes)
      store(dx + i, (load(g + i) * load(w + i) - load(x + i) * pull) * scale);
    for (; i < n; ++i) put(dx + i, (get(g + i) * get(w + i) - get(x + i) * pull) * scale);
  }
}

template <class T>
SGRPO_INLINE void rotate(const RotateParams<T>& params, T* out, int64_t begin, int64_t end) {
  const int64_t half = params.head_dim / 2;
  const float sign = params.inverse ? -1.0f : 1.0f;
  for (int64_t row = begin; row < end; ++row) {
    const float* c = params.cos + row * half;
    const float* s = params.sin + row * half;
    for (int64_t head = 0; head < params.num_heads; ++head) {
      const T* x = params.x + row * params.row_stride + head * params.head_stride;
      T* y = out + (row * params.num_heads + head) * params.head_dim;
      int64_t i = 0;
      for (; i + kLanes <= half; i += kLanes) {
        const Vec a = load(x + i), b = load(x + half + i), cosine = load(c + i),
                  sine = load(s + i) * sign;
        store(y + i, a * cosine - b * sine);
        store(y + half + i, b * cosine + a * sine);
      }
      for (; i < half; ++i) {
        const float a = get(x + i), b = get(x + half + i), sine = s[i] * sign;
        put(y + i, a * c[i] - b * sine);
        put(y + half + i, b * c[i] + a * sine);
      }
    }
  }
}

template <class T>
SGRPO_INLINE void swiglu_forward(const SwigluParams<T>& params,
                                 T* out,
                                 int64_t begin,
                                 int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* g = params.gate.at(row);
    const T* u = params.up.at(row);
    T* y = out + row * params.width;
    int64_t i = 0;
    for (; i + kLanes <= params.width; i += kLanes) {
      const Vec x = load(g + i);
      store(y + i, x * sigmoid(x) * load(u + i));
    }
    for (; i < params.width; ++i) put(y + i, get(g + i) * sigmoid(get(g + i)) * get(u + i));
  }
}

template <class T>
SGRPO_INLINE void swiglu_backward(const SwigluParams<T>& params,
                                  const SwigluGradients<T>& gradients,
                                  int64_t begin,
                                  int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* g = params.gate.at(row);
    const T* u = params.up.at(row);
    const int64_t at = row * params.width;
    int64_t i = 0;
    for (; i + kLanes <= params.width; i += kLanes) {
      const Vec x = load(g + i), grad = load(gradients.grad + at + i), s = sigmoid(x);
      store(gradients.grad_gate + at + i, grad * load(u + i) * s * (1.0f + x * (1.0f - s)));
      store(gradients.grad_up + at + i, grad * x * s);
    }
    for (; i < params.width; ++i) {
      const float x = get(g + i), grad = get(gradients.grad + at + i), s = sigmoid(x);
      put(gradients.grad_gate + at + i, grad * get(u + i) * s * (1.0f + x * (1.0f - s)));
      put(gradients.grad_up + at + i, grad * x * s);
    }
  }
}

}  // namespace

SGRPO_MULTIVERSION
void rms_norm_forward_cpu(
    const RmsNormParams<float>& params, float* out, float* rstd, int64_t begin, int64_t end) {
  rms_norm_forward(params, out, rstd, begin, end);
}
SGRPO_MULTIVERSION
void rms_norm_forward_cpu(
    const RmsNormParams<Bf16>& params, Bf16* out, float* rstd, int64_t begin, int64_t end) {
  rms_norm_forward(params, out, rstd, begin, end);
}

SGRPO_MULTIVERSION
void rms_norm_backward_cpu(const RmsNormParams<float>& params,
                           const RmsNormGradients<float>& gradients,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end) {
  rms_norm_backward(params, gradients, grad_weight, begin, end);
}
SGRPO_MULTIVERSION
void rms_norm_backward_cpu(const RmsNormParams<Bf16>& params,
                           const RmsNormGradients<Bf16>& gradients,
                           float* grad_weight,
                           int64_t begin,
                           int64_t end) {
  rms_norm_backward(params, gradients, grad_weight, begin, end);
}

SGRPO_MULTIVERSION
void rotate_cpu(const RotateParams<float>& params, float* out, int64_t begin, int64_t end) {
  rotate(params, out, begin, end);
}
SGRPO_MULTIVERSION
void rotate_cpu(const RotateParams<Bf16>& params, Bf16* out, int64_t begin, int64_t end) {
  rotate(params, out, begin, end);
}

SGRPO_MULTIVERSION
void swiglu_forward_cpu(const SwigluParams<float>& params, float* out, int64_t begin, int64_t end) {
  swiglu_forward(params, out, begin, end);
}
SGRPO_MULTIVERSION
void swiglu_forward_cpu(const SwigluParams<Bf16>& params, Bf16* out, int64_t begin, int64_t end) {
  swiglu_forward(params, out, begin, end);
}

SGRPO_MULTIVERSION
void swiglu_backward_cpu(const SwigluParams<float>& params,
                         const SwigluGradients<float>& gradients,
                         int64_t begin,
                         int64_t end) {
  swiglu_backward(params, gradients, begin, end);
}
SGRPO_MULTIVERSION
void swiglu_backward_cpu(const SwigluParams<Bf16>& params,
                         const SwigluGradients<Bf16>& gradients,
                         int64_t begin,
                         int64_t end) {
  swiglu_backward(params, gradients, begin, end);
}

}  // namespace sgrpo::kernels
