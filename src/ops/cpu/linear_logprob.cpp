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

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden,
                                                                   const at::Tensor& weight,
                                                                   const at::Tensor& labels,
                                                                   const at::Tensor& masked_ids,
                                                                   double temperature,
                                                                   bool keep_logits) {
  return linear_logprob_forward(
      kRowKernels, {hidden, weight, labels, masked_ids, temperature}, keep_logits);
}

std::tuple<at::Tensor, at::Tensor> forward_only(const at::Tensor& hidden,
                                                const at::Tensor& weight,
                                                const at::Tensor& labels,
                                                const at::Tensor& masked_ids,
                                                double temperature) {
  auto [logprobs, entropy, lse, logits] =
      forward(hidden, weight, labels, masked_ids, temperature, false);
  return {logprobs, entropy};
}

std::tuple<at::Tensor, at::Tensor> backward(const std::optional<at::Tensor>& grad_logprobs,
                                            const std::optional<at::Tensor>& grad_entropy,
                                            const at::Tensor& hidden,
                                            const at::Tensor& weight,
                                            const at::Tensor& labels,
                                            const at::Tensor& masked_ids,
                                            const at::Tensor& entropy,
                                            const at::Tensor& lse,
                                            const at::Tensor& logits,
                                            double temperature) {
  return linear_logprob_backward(kRowKernels,
                                 {.input = {hidden, weight, labels, masked_ids, temperature},
                                  .entropy = entropy,
                                  .lse = lse,
                                  .logits = logits},
                                 grad_logprobs.value_or(at::Tensor()),
                                 grad_entropy.value_or(at::Tensor()));
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) {
  m.impl("linear_logprob", forward_only);
  m.impl("linear_logprob_forward", forward);
  m.impl("linear_logprob_backward", backward);
}

}  // namespace sgrpo::ops
