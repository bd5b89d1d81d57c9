// Rotary and SwiGLU: a thread a pack of 16 bytes (or a number, where memory is not aligned), bound
// by memory.
#include <cmath>

#include "kernels/common/launch.h"
#include "kernels/common/pack.h"
#include "kernels/layers/layers_cuda.h"

namespace sgrpo::kernels {
namespace {

constexpr int kBlockThreads = 256;
constexpr int64_t kHeads = 4;  // that a thread turns by the angles it has read

__device__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
}

template <int kPack, class T>
__global__ void __launch_bounds__(kBlockThreads)
    rotate_kernel(const RotateParams<T> params, T* __restrict__ out, const int64_t num_rows) {
  const int64_t half = params.head_dim / 2, packs = half / kPack;
  const int64_t groups = (params.num_heads + kHeads - 1) / kHeads;
  const int64_t item = thread_index(), column = item % packs * kPack;
  const int64_t row = item / packs / groups, first = item / packs % groups * kHeads;
  if (row >= num_rows) return;
  float cosine[kPack], sine[kPack];
  load_pack<kPack>(params.cos + row * half + column, cosine);
  load_pack<kPack>(params.sin + row * half + column, sine);
  const float sign = params.inverse ? -1.0f : 1.0f;
  const int64_t last = first + kHeads < params.num_heads ? first + kHeads : params.num_heads;
  for (int64_t head = first; head < last; ++head) {
    const T* x = params.x + row * params.row_stride + head * params.head_stride + column;
    T* y = out + (row * params.num_heads + head) * params.head_dim + column;
    float a[kPack], b[kPack], low[kPack], high[kPack];
    load_pack<kPack>(x, a);
    load_pack<kPack>(x + half, b);
    for (int j = 0; j < kPack; ++j) {
      low[j] = a[j] * cosine[j] - b[j] * sine[j] * sign;
      high[j] = b[j] * cosine[j] + a[j] * sine[j] * sign;
    }
    store_pack<kPack>(y, low);
    store_pack<kPack>(y + half, high);
  }
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

template <int kPack, class T>
__global__ void __launch_bounds__(kBlockThreads) swiglu_forward_kernel(const SwigluParams<T> params,
                                                                       T* __restrict__ out,
                                                                       const int64_t num_rows) {
  const int64_t packs = params.width / kPack, item = thread_index();
  const int64_t row = item / packs, column = item % packs * kPack;
  if (row >= num_rows) return;
  float gate[kPack], up[kPack];
  load_pack<kPack>(params.gate.at(row) + column, gate);
  load_pack<kPack>(params.up.at(row) + column, up);
  for (int j = 0; j < kPack; ++j) gate[j] = gate[j] * sigmoid(gate[j]) * up[j];
  store_pack<kPack>(out + row * params.width + column, gate);
}

template <int kPack, class T>
__global__ void __launch_bounds__(kBlockThreads)
    swiglu_backward_kernel(const SwigluParams<T> params,
                           const SwigluGradients<T> gradients,
                           const int64_t num_rows) {
  const int64_t packs = params.width / kPack, item = thread_index();
  const int64_t row = item / packs, column = item % packs * kPack;
  if (row >= num_rows) return;
  const int64_t place = row * params.width + column;
  float gate[kPack], up[kPack], grad[kPack];
  load_pack<kPack>(params.gate.at(row) + column, gate);
  load_pack<kPack>(params.up.at(row) + column, up);
  load_pack<kPack>(gradients.grad + place, grad);
  for (int j = 0; j < kPack; ++j) {
    const float x = gate[j], s = sigmoid(x);
    gate[j] = grad[j] * up[j] * s * (1.0f + x * (1.0f - s));
    up[j] = grad[j] * x * s;
  }
  store_pack<kPack>(gradients.grad_gate + place, gate);
  store_pack<kPack>(gradients.grad_up + place, up);
}

template <int kCount>
struct Packs {
  static constexpr int value = kCount;
};

/// Calls f(Packs) with how many numbers one thread takes.
template <class T, class F>
cudaError_t with_packs(bool is_aligned, const F& f) {
  return is_aligned ? f(Packs<kWidestPack<T>>{}) : f(Packs<1>{});
}

template <class T>
bool is_aligned(const SwigluParams<T>& params) {
  return params.width % kWidestPack<T> == 0 && params.gate.stride % kWidestPack<T> == 0 &&
         params.up.stride % kWidestPack<T> == 0 && starts_aligned(params.gate.data, params.up.data);
}

}  // namespace

template <class T>
cudaError_t rotate_cuda(const RotateParams<T>& params,
                        T* out,
                        int64_t num_rows,
                        cudaStream_t stream) {
  const int64_t half = params.head_dim / 2;
  const bool aligned = half % kWidestPack<T> == 0 && params.row_stride % kWidestPack<T> == 0 &&
                       params.head_stride % kWidestPack<T> == 0 &&
                       starts_aligned(params.x, params.cos, params.sin, out);
  return with_packs<T>(aligned, [&]<class P>(P) {
    const int64_t items = num_rows * blocks_of(params.num_heads, kHeads) * (half / P::value);
    return launch(rotate_kernel<P::value, T>,
                  blocks_of(items, kBlockThreads),
                  kBlockThreads,
                  stream,
                  params,
                  out,
                  num_rows);
  });
}

template <class T>
cudaError_t swiglu_forward_cuda(const SwigluParams<T>& params,
                                T* out,
                                int64_t num_rows,
                                cudaStream_t stream) {
  return with_packs<T>(is_aligned(params) && starts_aligned(out), [&]<class P>(P) {
    return launch(swiglu_forward_kernel<P::value, T>,
                  blocks_of(num_rows * (params.width / P::value), kBlockThreads),
                  kBlockThreads,
                  stream,
                  params,
                  out,
                  num_rows);
  });
}

template <class T>
cudaError_t swiglu_backward_cuda(const SwigluParams<T>& params,
                                 const SwigluGradients<T>& gradients,
                                 int64_t num_rows,
                                 cudaStream_t stream) {
  const bool aligned =
      is_aligned(params) && starts_aligned(gradients.grad, gradients.grad_gate, gradients.grad_up);
  return with_packs<T>(aligned, [&]<class P>(P) {
    return launch(swiglu_backward_kernel<P::value, T>,
                  blocks_of(num_rows * (params.width / P::value), kBlockThreads),
                  kBlockThreads,
                  stream,
                  params,
                  gradients,
                  num_rows);
  });
}

template cudaError_t rotate_cuda(const RotateParams<float>&, float*, int64_t, cudaStream_t);
template cudaError_t rotate_cuda(const RotateParams<Bf16>&, Bf16*, int64_t, cudaStream_t);
template cudaError_t swiglu_forward_cuda(const SwigluParams<float>&, float*, int64_t, cudaStream_t);
template cudaError_t swiglu_forward_cuda(const SwigluParams<Bf16>&, Bf16*, int64_t, cudaStream_t);
template cudaError_t swiglu_backward_cuda(const SwigluParams<float>&,
                                          const SwigluGradients<float>&,
                                          int64_t,
                                          cudaStream_t);
template cudaError_t swiglu_backward_cuda(const SwigluParams<Bf16>&,
                                          const SwigluGradients<Bf16>&,
                                          int64_t,
                                          cudaStream_t);

}  // namespace sgrpo::kernels
