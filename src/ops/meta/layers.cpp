// Shapes of norm, rotary and SwiGLU where a kernel computes them; elsewhere their composites.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/composite_layers.h"
#include "ops/layer_rows.h"

namespace sgrpo::ops {
namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;

at::Tensor like(const at::Tensor& x) { return at::empty(x.sizes(), x.options()); }

Pair rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!has_kernel(x, weight)) return composite::rms_norm_forward(x, weight, eps);
  const at::Tensor rows = as_rows(x);
  return {like(x), at::empty({rows.size(0)}, x.options().dtype(at::kFloat))};
}

at::Tensor rms_norm_only(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return std::get<0>(rms_norm_forward(x, weight, eps));
}

Pair rms_norm_backward(const at::Tensor& grad,
                       const at::Tensor& x,
                       const at::Tensor& weight,
                       const at::Tensor& rstd,
                       bool needs_weight) {
  if (!has_kernel(x, weight))
    return composite::rms_norm_backward(grad, x, weight, rstd, needs_weight);
  return {like(x), needs_weight ? like(weight) : at::Tensor()};
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  check_rotate(x, cos, sin);
  return has_kernel(x, x) ? like(x) : composite::rotate(x, cos, sin, inverse);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  check_swiglu(gate, up);
  return has_kernel(gate, up) ? like(gate) : composite::swiglu(gate, up);
}

Pair swiglu_backward(const at::Tensor& grad, const at::Tensor& gate, const at::Tensor& up) {
  if (!has_kernel(gate, up)) return composite::swiglu_backward(grad, gate, up);
  return {like(gate), like(gate)};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Meta, m) {
  m.impl("rms_norm", rms_norm_only);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("rotate", rotate);
  m.impl("swiglu", swiglu);
  m.impl("swiglu_backward", swiglu_backward);
}

}  // namespace sgrpo::ops
