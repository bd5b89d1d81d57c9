// The output layer of every backend: logits chunk by chunk, given kernels for rows of logits.
#pragma once

#include <array>
#include <optional>
#include <tuple>

#include <ATen/core/Tensor.h>
#include <torch/library.h>

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

/// Throws c10::ValueError or IndexError naming the argument. Of labels elsewhere than on the CPU
/// the values are not read, as the host would wait for them: who packs a batch has checked them.
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

/// Gradients of the outputs (undefined: zero), and which of hidden and weight need one.
struct LinearLogprobGrads {
  at::Tensor logprobs, entropy;
  std::array<bool, 2> needs = {true, true};
};

/// Gradients of hidden and weight; undefined where not needed.
std::tuple<at::Tensor, at::Tensor> linear_logprob_backward(const RowKernels& kernels,
                                                           const LinearLogprobSaved& saved,
                                                           const LinearLogprobGrads& grads);

/// The ops of a backend with these kernels.
template <const RowKernels& kKernels>
struct LinearLogprobOps {
  static std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> forward(
      const at::Tensor& hidden,
      const at::Tensor& weight,
      const at::Tensor& labels,
      const at::Tensor& masked_ids,
      double temperature,
      bool keep_logits) {
    return linear_logprob_forward(
        kKernels, {hidden, weight, labels, masked_ids, temperature}, keep_logits);
  }

  static std::tuple<at::Tensor, at::Tensor> forward_only(const at::Tensor& hidden,
                                                         const at::Tensor& weight,
                                                         const at::Tensor& labels,
                                                         const at::Tensor& masked_ids,
                                                         double temperature) {
    auto [logprobs, entropy, lse, logits] =
        forward(hidden, weight, labels, masked_ids, temperature, false);
    return {logprobs, entropy};
  }

  static std::tuple<at::Tensor, at::Tensor> backward(const std::optional<at::Tensor>& grad_logprobs,
                                                     const std::optional<at::Tensor>& grad_entropy,
                                                     const at::Tensor& hidden,
                                                     const at::Tensor& weight,
                                                     const at::Tensor& labels,
                                                     const at::Tensor& masked_ids,
                                                     const at::Tensor& entropy,
                                                     const at::Tensor& lse,
                                                     const at::Tensor& logits,
                                                     double temperature,
                                                     std::array<bool, 2> needs) {
    return linear_logprob_backward(kKernels,
                                   {.input = {hidden, weight, labels, masked_ids, temperature},
                                    .entropy = entropy,
                                    .lse = lse,
                                    .logits = logits},
                                   {.logprobs = grad_logprobs.value_or(at::Tensor()),
                                    .entropy = grad_entropy.value_or(at::Tensor()),
                                    .needs = needs});
  }

  static void add_to(torch::Library& library) {
    library.impl("linear_logprob", forward_only);
    library.impl("linear_logprob_forward", forward);
    library.impl("linear_logprob_backward", backward);
  }
};

}  // namespace sgrpo::ops
