// The output layer on CUDA: launches on the current stream.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/row_logprob/row_logprob_cuda.h"
#include "ops/linear_logprob_chunks.h"

namespace sgrpo::ops {
namespace {

void forward_rows(const kernels::RowLogprobParams& params) {
  C10_CUDA_CHECK(kernels::row_logprob_forward_cuda(params, c10::cuda::getCurrentCUDAStream()));
}

void backward_rows(const kernels::RowLogprobParams& params,
                   const float* grad_logprobs,
                   const float* grad_entropy,
                   float* grad_logits) {
  C10_CUDA_CHECK(kernels::row_logprob_backward_cuda(
      params, grad_logprobs, grad_entropy, grad_logits, c10::cuda::getCurrentCUDAStream()));
}

constexpr RowKernels kRowKernels{.forward = forward_rows, .backward = backward_rows};

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CUDA, m) { LinearLogprobOps<kRowKernels>::add_to(m); }

}  // namespace sgrpo::ops
