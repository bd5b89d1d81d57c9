#include "ops/composite_layers.h"

#include <ATen/ATen.h>
#include <torch/library.h>

namespace sgrpo::ops::composite {
namespace {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return std::get<0>(rms_norm_forward(x, weight, eps));
}

/// Sums in f32, or in f64 for gradient checks.
at::Tensor wide(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const at::Tensor& weight,
                                                    double eps) {
  const at::Tensor rows = wide(x);
  const at::Tensor rstd = at::rsqrt(rows.square().mean(-1, true).add(eps));
  return {(rows * rstd).to(x.scalar_type()) * weight, rstd.flatten()};
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad,
                                                     const at::Tensor& x,
                                                     const at::Tensor& weight,
                                                     const at::Tensor& rstd,
                                                     bool needs_weight) {
  const at::Tensor rows = wide(x).reshape({-1, x.size(-1)}),
                   grads = wide(grad).reshape({-1, x.size(-1)});
  const at::Tensor scale = rstd.view({-1, 1}), weighted = grads * wide(weight);
  const at::Tensor pull = (weighted * rows).mean(-1, true) * scale.square();
  const at::Tensor grad_x = ((weighted - rows * pull) * scale).to(x.scalar_type()).view(x.sizes());
  if (!needs_weight) return {grad_x, at::Tensor()};
  return {grad_x, (grads * rows * scale).sum(0).to(weight.scalar_type())};
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  const at::Tensor c = cos.unsqueeze(1), s = inverse ? sin.unsqueeze(1).neg() : sin.unsqueeze(1);
  const auto halves = wide(x).chunk(2, -1);
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1)
      .to(x.scalar_type());
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad,
                                                   const at::Tensor& gate,
                                                   const at::Tensor& up) {
  return {at::silu_backward(grad * up, gate), grad * at::silu(gate)};
}

}  // namespace sgrpo::ops::composite

TORCH_LIBRARY_IMPL(sgrpo, CompositeExplicitAutograd, m) {
  namespace composite = sgrpo::ops::composite;
  m.impl("rms_norm", composite::rms_norm);
  m.impl("rms_norm_forward", composite::rms_norm_forward);
  m.impl("rms_norm_backward", composite::rms_norm_backward);
  m.impl("rotate", composite::rotate);
  m.impl("swiglu", composite::swiglu);
  m.impl("swiglu_backward", composite::swiglu_backward);
}
