// The output layer on the CPU: rows of a chunk in parallel.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "ops/linear_logprob_chunks.h"

namespace sgrpo::ops {
namespace {

void forward_rows(const kernels::RowLogprobParams& params) {
  at::parallel_for(0, params.num_rows, 1, [&](int64_t begin, int64_t end) {
    kernels::row_logprob_forward_cpu(params, begin, end);
  });
}

void backward_rows(const kernels::RowLogprobParams& params,
                   const float* grad_logprobs,
                   const float* grad_entropy,
                   float* grad_logits) {
  at::parallel_for(0, params.num_rows, 1, [&](int64_t begin, int64_t end) {
    kernels::row_logprob_backward_cpu(params, grad_logprobs, grad_entropy, grad_logits, begin, end);
  });
}

constexpr RowKernels kRowKernels{.forward = forward_rows, .backward = backward_rows};

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) { LinearLogprobOps<kRowKernels>::add_to(m); }

}  // namespace sgrpo::ops
