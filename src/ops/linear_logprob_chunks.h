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

/// Arguments of the layer: hidden [M, D], weight [V, D], labels [M] i64, masked_ids [Z] i64.
struct LinearLogprobInput {
  at::Tensor hidden, weight, labels, masked_ids;
  double temperature = 1.0;
};

/// Throws c10::ValueError or IndexError naming the argument. Skips the labels' values on tensors
/// without data.
void check_linear_logprob(const LinearLogprobInput& input);

/// Log-probabilities, entropies, log-sum-exps [M] and, if asked for, the logits [M, V].
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> linear_logprob_forward(
    const RowKernels& kernels, const LinearLogprobInput& input, bool keep_logits);

/// What the backward takes from the forward.
struct LinearLogprobSaved {
  LinearLogprobInput input;
  at::Tensor entropy, lse;
  at::Tensor logits;  // empty: to be recomputed
};

/// Gradients of hidden and weight. An undefined gradient of an output counts as zero.
std::tuple<at::Tensor, at::Tensor> linear_logprob_backward(const RowKernels& kernels,
                                                           const LinearLogprobSaved& saved,
                                                           const at::Tensor& grad_logprobs,
                                                           const at::Tensor& grad_entropy);

}  // namespace sgrpo::ops
