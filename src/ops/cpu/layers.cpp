// Checks and parameters for the CPU kernels of norm, rotary and SwiGLU.
#include "kernels/layers/layers.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/composite_layers.h"

namespace sgrpo::ops {
namespace {

/// Elements below which a thread is not worth waking.
constexpr int64_t kGrain = 16384;

int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(width, 1));
}

/// Rows of the last dimension without a copy where the strides allow it.
at::Tensor as_rows(const at::Tensor& x) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  return rows.stride(1) == 1 ? rows : rows.contiguous();
}

kernels::Rows rows_of(const at::Tensor& rows) {
  return {rows.const_data_ptr<float>(), rows.stride(0)};
}

kernels::RmsNormParams norm_params(const at::Tensor& rows, const at::Tensor& weight, double eps) {
  return {.x = rows_of(rows),
          .weight = weight.const_data_ptr<float>(),
          .width = rows.size(1),
          .eps = static_cast<float>(eps)};
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const at::Tensor& weight,
                                                    double eps) {
  if (x.scalar_type() != at::kFloat) return composite::rms_norm_forward(x, weight, eps);
  const at::Tensor rows = as_rows(x);
  at::Tensor out = at::empty(x.sizes(), x.options()), rstd = at::empty({rows.size(0)}, x.options());
  const auto params = norm_params(rows, weight, eps);
  at::parallel_for(0, rows.size(0), grain_rows(rows.size(1)), [&](int64_t begin, int64_t end) {
    kernels::rms_norm_forward_cpu(
        params, out.data_ptr<float>(), rstd.data_ptr<float>(), begin, end);
  });
  return {out, rstd};
}

at::Tensor rms_norm_only(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return std::get<0>(rms_norm_forward(x, weight, eps));
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad,
                                                     const at::Tensor& x,
                                                     const at::Tensor& weight,
                                                     const at::Tensor& rstd) {
  if (x.scalar_type() != at::kFloat) return composite::rms_norm_backward(grad, x, weight, rstd);
  const at::Tensor rows = as_rows(x), grads = grad.contiguous();
  at::Tensor grad_x = at::empty(x.sizes(), x.options());
  // Fixed chunks, not one a thread: the sum over rows is the same for any number of threads.
  const int64_t chunk = 4 * grain_rows(rows.size(1)), chunks = (rows.size(0) + chunk - 1) / chunk;
  at::Tensor partial = at::zeros({std::max<int64_t>(chunks, 1), rows.size(1)}, x.options());
  const auto params = norm_params(rows, weight, 0.0);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      kernels::rms_norm_backward_cpu(params,
                                     grads.const_data_ptr<float>(),
                                     rstd.const_data_ptr<float>(),
                                     grad_x.data_ptr<float>(),
                                     partial.data_ptr<float>() + i * rows.size(1),
                                     i * chunk,
                                     std::min(rows.size(0), (i + 1) * chunk));
    }
  });
  return {grad_x, chunks > 1 ? partial.sum(0) : partial.select(0, 0)};
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  TORCH_CHECK_VALUE(x.dim() == 3 && x.size(2) % 2 == 0,
                    "x has shape ",
                    x.sizes(),
                    ", expected [T, heads, even E]");
  TORCH_CHECK_VALUE(cos.size(0) == x.size(0) && cos.size(1) == x.size(2) / 2 &&
                        cos.is_contiguous() && sin.is_contiguous() && sin.sizes() == cos.sizes(),
                    "cos and sin must be contiguous [T, E/2] with T = ",
                    x.size(0));
  if (x.scalar_type() != at::kFloat) return composite::rotate(x, cos, sin, inverse);
  const at::Tensor source = x.stride(2) == 1 ? x : x.contiguous();
  at::Tensor out = at::empty(x.sizes(), x.options());
  const kernels::RotateParams params{.x = source.const_data_ptr<float>(),
                                     .row_stride = source.stride(0),
                                     .head_stride = source.stride(1),
                                     .cos = cos.const_data_ptr<float>(),
                                     .sin = sin.const_data_ptr<float>(),
                                     .num_heads = x.size(1),
                                     .head_dim = x.size(2),
                                     .inverse = inverse};
  at::parallel_for(
      0, x.size(0), grain_rows(x.size(1) * x.size(2)), [&](int64_t begin, int64_t end) {
        kernels::rotate_cpu(params, out.data_ptr<float>(), begin, end);
      });
  return out;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  TORCH_CHECK_VALUE(gate.dim() == 2 && gate.sizes() == up.sizes(),
                    "gate has shape ",
                    gate.sizes(),
                    ", up ",
                    up.sizes());
  if (gate.scalar_type() != at::kFloat) return composite::swiglu(gate, up);
  const at::Tensor g = as_rows(gate), u = as_rows(up);
  at::Tensor out = at::empty(gate.sizes(), gate.options());
  at::parallel_for(0, g.size(0), grain_rows(g.size(1)), [&](int64_t begin, int64_t end) {
    kernels::swiglu_forward_cpu(
        rows_of(g), rows_of(u), g.size(1), out.data_ptr<float>(), begin, end);
  });
  return out;
}

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad,
                                                   const at::Tensor& gate,
                                                   const at::Tensor& up) {
  if (gate.scalar_type() != at::kFloat) return composite::swiglu_backward(grad, gate, up);
  const at::Tensor g = as_rows(gate), u = as_rows(up), grads = grad.contiguous();
  at::Tensor grad_gate = at::empty(gate.sizes(), gate.options()),
             grad_up = at::empty(gate.sizes(), gate.options());
  const kernels::SwigluGradients gradients{.grad = grads.const_data_ptr<float>(),
                                           .grad_gate = grad_gate.data_ptr<float>(),
                                           .grad_up = grad_up.data_ptr<float>()};
  at::parallel_for(0, g.size(0), grain_rows(g.size(1)), [&](int64_t begin, int64_t end) {
    kernels::swiglu_backward_cpu(rows_of(g), rows_of(u), g.size(1), gradients, begin, end);
  });
  return {grad_gate, grad_up};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) {
  m.impl("rms_norm", rms_norm_only);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("rotate", rotate);
  m.impl("swiglu", swiglu);
  m.impl("swiglu_backward", swiglu_backward);
}

}  // namespace sgrpo::ops
