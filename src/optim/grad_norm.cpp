#include "optim/grad_norm.h"

#include <ATen/ATen.h>

#include <cmath>

namespace sgrpo::optim {
namespace {

/// One norm per tensor, [n] f64 on the tensors' device.
at::Tensor norms_of(const std::vector<at::Tensor>& grads) {
  if (grads.front().is_cuda()) {  // tree reductions: f32 partial sums stay accurate
    return at::stack(at::_foreach_norm(grads, 2, at::kFloat)).to(at::kDouble);
  }
  // The CPU kernel sums each lane in sequence, which in f32 loses digits on large tensors.
  return at::stack(at::_foreach_norm(grads, 2, at::kDouble));
}

}  // namespace

GradNorm global_norm(const std::vector<at::Tensor>& grads) {
  GradNorm result;
  if (grads.empty()) return result;
  const at::Tensor norms = norms_of(grads);
  result.total = at::linalg_vector_norm(norms).item<double>();
  if (std::isfinite(result.total)) return result;
  const at::Tensor finite = at::isfinite(norms).cpu();
  for (int64_t i = 0; i < finite.numel(); ++i) {
    if (finite[i].item<bool>()) continue;
    result.bad = static_cast<size_t>(i);
    break;
  }
  return result;
}

}  // namespace sgrpo::optim
