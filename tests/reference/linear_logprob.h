// Slow twin of ops::linear_logprob: whole logits, in double, differentiable.
#pragma once

#include <ATen/ATen.h>

#include <tuple>

namespace sgrpo::reference {

/// Log-probabilities and entropies [M] of labels under softmax(hidden weight^T / temperature) over
/// the ids that are not masked. Masked ids are left out, which is what a logit of -inf means.
inline std::tuple<at::Tensor, at::Tensor> linear_logprob(const at::Tensor& hidden,
                                                         const at::Tensor& weight,
                                                         const at::Tensor& labels,
                                                         const at::Tensor& masked_ids,
                                                         double temperature) {
  at::Tensor is_allowed = at::ones({weight.size(0)}, at::kBool);
  is_allowed.index_fill_(0, masked_ids, false);
  const at::Tensor allowed = at::nonzero(is_allowed).squeeze(1);
  const at::Tensor x = hidden.matmul(weight.t()) / temperature;
  const at::Tensor log_p = at::log_softmax(x.index_select(1, allowed), 1);
  const at::Tensor position = at::cumsum(is_allowed.to(at::kLong), 0) - 1;  // id -> allowed index
  const at::Tensor chosen = position.index_select(0, labels).unsqueeze(1);
  return {log_p.gather(1, chosen).squeeze(1), -(log_p.exp() * log_p).sum(1)};
}

}  // namespace sgrpo::reference
