// CUDA launches of row_logprob; apart from the CPU header because they need CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/row_logprob/row_logprob.h"

namespace sgrpo::kernels {

/// All rows, on `stream`; pointers are device memory. Async: valid after the stream reaches it.
cudaError_t row_logprob_forward_cuda(const RowLogprobParams& params, cudaStream_t stream);
cudaError_t row_logprob_backward_cuda(const RowLogprobParams& params,
                                      const float* grad_logprobs,
                                      const float* grad_entropy,
                                      float* grad_logits,
                                      cudaStream_t stream);

}  // namespace sgrpo::kernels
