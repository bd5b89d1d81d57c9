// CUDA launches of norm, rotary and SwiGLU; apart from the CPU header because they need CUDA's
// headers. T: float or Bf16. Pointers are device memory; async: valid after the stream reaches
// them. What lies aligned to 16 bytes, rows included, is read 16 bytes at a time.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/layers/layers.h"

namespace sgrpo::kernels {

/// The widest row that rms_norm takes on CUDA: it is kept in registers.
constexpr int64_t kCudaNormWidth = 8192;
/// Rows whose gradients of the weight are added up before they are written.
constexpr int64_t kCudaNormRows = 16;

/// bytes: x, weight and out once a row. flops: 5 a number.
template <class T>
cudaError_t rms_norm_forward_cuda(
    const RmsNormParams<T>& params, T* out, float* rstd, int64_t num_rows, cudaStream_t stream);

/// `partial` [ceil(num_rows / kCudaNormRows), width], which may be null, receives sums over rows of
/// the weight's gradient. bytes: grad, x, weight and grad_x once a row. flops: 10 a number.
template <class T>
cudaError_t rms_norm_backward_cuda(const RmsNormParams<T>& params,
                                   const RmsNormGradients<T>& gradients,
                                   float* partial,
                                   int64_t num_rows,
                                   cudaStream_t stream);

/// bytes: x and out once, cos and sin once for four heads. flops: 6 a pair.
template <class T>
cudaError_t rotate_cuda(const RotateParams<T>& params,
                        T* out,
                        int64_t num_rows,
                        cudaStream_t stream);

/// bytes: gate, up and out once. flops: about 20 a number.
template <class T>
cudaError_t swiglu_forward_cuda(const SwigluParams<T>& params,
                                T* out,
                                int64_t num_rows,
                                cudaStream_t stream);

/// bytes: grad, gate, up and both gradients once. flops: about 25 a number.
template <class T>
cudaError_t swiglu_backward_cuda(const SwigluParams<T>& params,
                                 const SwigluGradients<T>& gradients,
                                 int64_t num_rows,
                                 cudaStream_t stream);

}  // namespace sgrpo::kernels
