// A row is a warp's, or a block's of 256 threads where it is wide; it stays in registers between
// the sum and the result, so that memory is read once.
#include "kernels/common/launch.h"
#include "kernels/common/pack.h"
#include "kernels/common/team.h"
#include "kernels/layers/layers_cuda.h"

namespace sgrpo::kernels {
namespace {

constexpr int kKept = 32;  // numbers of a row that a thread keeps
static_assert(kCudaNormWidth == 256 * kKept);

/// Calls f(i, column) for the packs of a row that are the thread's; i counts numbers kept.
template <int kThreads, int kPack, class F>
__device__ void for_own_packs(int64_t width, const F& f) {
#pragma unroll
  for (int i = 0; i < kKept; i += kPack) {
    const int64_t column = static_cast<int64_t>(i) * kThreads + Team<kThreads>::thread() * kPack;
    if (column < width) f(i, column);
  }
}

template <int kThreads, int kPack, class T>
__global__ void __launch_bounds__(Team<kThreads>::kBlockThreads, kPack == 1 ? 1 : 4)
    rms_norm_forward_kernel(const RmsNormParams<T> params,
                            T* __restrict__ out,
                            float* __restrict__ rstd,
                            const float inverse_width,
                            const int64_t num_rows) {
  using Row = Team<kThreads>;
  const int64_t row = Row::index();
  if (row >= num_rows) return;
  const T* source = params.x.at(row);
  float x[kKept];
  float squares = 0.0f;
  for_own_packs<kThreads, kPack>(params.width, [&](int i, int64_t column) {
    load_pack<kPack>(source + column, x + i);
    for (int j = i; j < i + kPack; ++j) squares += x[j] * x[j];
  });
  const float scale = rsqrtf(Row::sum(squares) * inverse_width + params.eps);
  for_own_packs<kThreads, kPack>(params.width, [&](int i, int64_t column) {
    float weight[kPack];
    load_pack<kPack>(params.weight + column, weight);
    for (int j = 0; j < kPack; ++j)  // rounded before the weight, as on the CPU
      x[i + j] = static_cast<float>(stored_as<T>(x[i + j] * scale)) * weight[j];
    store_pack<kPack>(out + row * params.width + column, x + i);
  });
  if (rstd != nullptr && Row::thread() == 0) rstd[row] = scale;
}

template <int kThreads, int kPack, class T>
__global__ void __launch_bounds__(Team<kThreads>::kBlockThreads)
    rms_norm_backward_kernel(const RmsNormParams<T> params,
                             const RmsNormGradients<T> gradients,
                             float* __restrict__ partial,
                             const float inverse_width,
                             const int64_t num_rows) {
  using Row = Team<kThreads>;
  const int64_t chunk = Row::index(), width = params.width;
  const int64_t begin = chunk * kCudaNormRows;
  const int64_t end = begin + kCudaNormRows < num_rows ? begin + kCudaNormRows : num_rows;
  float sums[kKept] = {};  // of the weight's gradient
  for (int64_t row = begin; row < end; ++row) {
    const T* source = params.x.at(row);
    const T* grad = gradients.grad + row * width;
    const float scale = gradients.rstd[row];
    float x[kKept], weighted[kKept];
    float product = 0.0f;
    for_own_packs<kThreads, kPack>(width, [&](int i, int64_t column) {
      float weight[kPack];
      load_pack<kPack>(params.weight + column, weight);
      load_pack<kPack>(source + column, x + i);
      load_pack<kPack>(grad + column, weighted + i);
      for (int j = 0; j < kPack; ++j) {
        sums[i + j] += weighted[i + j] * x[i + j] * scale;
        weighted[i + j] *= weight[j];
        product += weighted[i + j] * x[i + j];
      }
    });
    const float pull = Row::sum(product) * inverse_width * scale * scale;
    for_own_packs<kThreads, kPack>(width, [&](int i, int64_t column) {
      for (int j = i; j < i + kPack; ++j) x[j] = (weighted[j] - x[j] * pull) * scale;
      store_pack<kPack>(gradients.grad_x + row * width + column, x + i);
    });
  }
  if (partial == nullptr || begin >= num_rows) return;
  for_own_packs<kThreads, kPack>(width, [&](int i, int64_t column) {
    store_pack<kPack>(partial + chunk * width + column, sums + i);
  });
}

template <int kThreads_, int kPack_>
struct Shape {
  static constexpr int kThreads = kThreads_, kPack = kPack_;
};

/// Calls f(Shape) with what a row of this width, aligned or not, is read by.
template <class T, class F>
cudaError_t with_shape(int64_t width, bool is_aligned, const F& f) {
  if (width > kCudaNormWidth) return cudaErrorInvalidConfiguration;
  const bool is_narrow = width <= kWarpLanes * kKept;
  if (is_aligned && is_narrow) return f(Shape<32, kWidestPack<T>>{});
  if (is_aligned) return f(Shape<256, kWidestPack<T>>{});
  return is_narrow ? f(Shape<32, 1>{}) : f(Shape<256, 1>{});
}

template <class T>
bool is_aligned(const RmsNormParams<T>& params, const void* other, const void* another) {
  return params.width % kWidestPack<T> == 0 && params.x.stride % kWidestPack<T> == 0 &&
         starts_aligned(params.x.data, params.weight, other, another);
}

}  // namespace

template <class T>
cudaError_t rms_norm_forward_cuda(
    const RmsNormParams<T>& params, T* out, float* rstd, int64_t num_rows, cudaStream_t stream) {
  return with_shape<T>(params.width, is_aligned(params, out, nullptr), [&]<class S>(S) {
    using Row = Team<S::kThreads>;
    return launch(rms_norm_forward_kernel<S::kThreads, S::kPack, T>,
                  blocks_of(num_rows, Row::kTeams),
                  Row::kBlockThreads,
                  stream,
                  params,
                  out,
                  rstd,
                  1.0f / static_cast<float>(params.width),
                  num_rows);
  });
}

template <class T>
cudaError_t rms_norm_backward_cuda(const RmsNormParams<T>& params,
                                   const RmsNormGradients<T>& gradients,
                                   float* partial,
                                   int64_t num_rows,
                                   cudaStream_t stream) {
  const bool aligned =
      is_aligned(params, gradients.grad, gradients.grad_x) && starts_aligned(partial);
  return with_shape<T>(params.width, aligned, [&]<class S>(S) {
    using Row = Team<S::kThreads>;
    return launch(rms_norm_backward_kernel<S::kThreads, S::kPack, T>,
                  blocks_of(num_rows, kCudaNormRows * Row::kTeams),
                  Row::kBlockThreads,
                  stream,
                  params,
                  gradients,
                  partial,
                  1.0f / static_cast<float>(params.width),
                  num_rows);
  });
}

template cudaError_t rms_norm_forward_cuda(
    const RmsNormParams<float>&, float*, float*, int64_t, cudaStream_t);
template cudaError_t rms_norm_forward_cuda(
    const RmsNormParams<Bf16>&, Bf16*, float*, int64_t, cudaStream_t);
template cudaError_t rms_norm_backward_cuda(
    const RmsNormParams<float>&, const RmsNormGradients<float>&, float*, int64_t, cudaStream_t);
template cudaError_t rms_norm_backward_cuda(
    const RmsNormParams<Bf16>&, const RmsNormGradients<Bf16>&, float*, int64_t, cudaStream_t);

}  // namespace sgrpo::kernels
