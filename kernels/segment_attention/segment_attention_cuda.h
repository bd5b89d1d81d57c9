// CUDA launches of segment attention; apart from the CPU header because they need CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/segment_attention/segment_attention.h"

namespace sgrpo::kernels {

/// The largest head_dim that the CUDA kernels take.
constexpr int64_t kCudaHeadDim = 256;

/// Launches on `stream`; every pointer, the segment table's too, is device memory, and the table
/// covers the num_queries rows in order. lse must be given. Async: valid after the stream reaches
/// it.
template <class T, class Stored = T>
cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<T, Stored>& work,
                                           int64_t num_queries,
                                           cudaStream_t stream);

/// As above; `delta` [Tq, H] is scratch. Writes every element of grad_q, grad_k and grad_v, in an
/// order of sums that does not depend on the launch.
template <class T>
cudaError_t segment_attention_backward_cuda(const SegmentAttentionBackward<T>& work,
                                            T* delta,
                                            int64_t num_queries,
                                            int64_t num_keys,
                                            cudaStream_t stream);

}  // namespace sgrpo::kernels
