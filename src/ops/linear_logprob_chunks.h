// The output layer of every backend: logits chunk by chunk, given kernels for rows of logits.
#pragma once

#include <tuple>

#include <ATen/core/Tensor.h>

#include "kernels/row_logprob/row_logprob.h"

namespace sgrpo::ops {

/// What a backend computes for all rows of one chunk; pointers are the backend's memory.
struct RowKernels {
  void (*forward)(const kernels::RowLogprobParams& params);
  void (*backward)(const kernels::RowLogprobParams& params,
                   const float* grad_logprobs,
                   const float* grad_entropy,
                   float* grad_logits);
};

/// Throws c10::ValueError or IndexError naming the argument. Skips the labels' values on tensors
/// without data.
void check_linear_logprob(const at::Tensor& hidden,
                          const at::Tensor& weight,
                          const at::Tensor& labels,
                          const at::Tensor& masked_ids,
                          double temperature);

/// Log-probabilities, entropies, log-sum-exps [M] and, if asked for, the logits [M, V].
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> linear_logprob_forward(
    const RowKernels& kernels,
    const at::Tensor& hidden,
    const at::Tensor& weight,
    const at::Tensor& labels,
    const at::Tensor& masked_ids,
    double temperature,
    bool keep_logits);

/// What the backward takes from the forward.
struct LinearLogprobSaved {
  at::Tensor hidden, weight, labels, masked_ids, entropy, lse;
  at::Tensor logits;  // empty: to be recomputed
  double temperature = 1.0;
};

/// Gradients of hidden and weight. An undefined gradient of an output counts as zero.
std::tuple<at::Tensor, at::Tensor> linear_logprob_backward(const RowKernels& kernels,
                                                           const LinearLogprobSaved& saved,
                                                           const at::Tensor& grad_logprobs,
                                                           const at::Tensor& grad_entropy);

}  // namespace sgrpo::ops
