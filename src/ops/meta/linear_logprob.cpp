#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/linear_logprob_chunks.h"

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& hidden,
                                                                   const at::Tensor& weight,
                                                                   const at::Tensor& labels,
                                                                   const at::Tensor& masked_ids,
                                                                   double temperature,
                                                                   bool keep_logits) {
  check_linear_logprob({hidden, weight, labels, masked_ids, temperature});
  const int64_t rows = hidden.size(0);
  const auto f32 = hidden.options().dtype(at::kFloat);
  return {at::empty({rows}, f32),
          at::empty({rows}, f32),
          at::empty({rows}, f32),
          keep_logits ? at::empty({rows, weight.size(0)}, f32) : at::empty({0}, f32)};
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

std::tuple<at::Tensor, at::Tensor> backward(const std::optional<at::Tensor>& /*grad_logprobs*/,
                                            const std::optional<at::Tensor>& /*grad_entropy*/,
                                            const at::Tensor& hidden,
                                            const at::Tensor& weight,
                                            const at::Tensor& /*labels*/,
                                            const at::Tensor& /*masked_ids*/,
                                            const at::Tensor& /*entropy*/,
                                            const at::Tensor& /*lse*/,
                                            const at::Tensor& /*logits*/,
                                            double /*temperature*/,
                                            std::array<bool, 2> needs) {
  return {needs[0] ? at::empty_like(hidden) : at::Tensor(),
          needs[1] ? at::empty_like(weight) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Meta, m) {
  m.impl("linear_logprob", forward_only);
  m.impl("linear_logprob_forward", forward);
  m.impl("linear_logprob_backward", backward);
}

}  // namespace sgrpo::ops
