// Checks and parameters for the CPU kernels of norm, rotary and SwiGLU, in float and bfloat16.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/composite_layers.h"
#include "ops/layer_rows.h"

namespace sgrpo::ops {
namespace {

/// Elements below which a thread is not worth waking.
constexpr int64_t kGrain = 16384;

int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(width, 1));
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const at::Tensor& weight,
                                                    double eps) {
  if (!has_kernel(x, weight)) return composite::rms_norm_forward(x, weight, eps);
  const at::Tensor rows = as_rows(x);
  at::Tensor out = at::empty(x.sizes(), x.options());
  at::Tensor rstd = at::empty({rows.size(0)}, x.options().dtype(at::kFloat));
  with_storage(x, [&]<class T>(T*) {
    const auto params = norm_params<T>(rows, weight, eps);
    at::parallel_for(0, rows.size(0), grain_rows(rows.size(1)), [&](int64_t begin, int64_t end) {
      kernels::rms_norm_forward_cpu(
          params, mutable_data_of<T>(out), rstd.data_ptr<float>(), begin, end);
    });
  });
  return {out, rstd};
}

at::Tensor rms_norm_only(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return std::get<0>(rms_norm_forward(x, weight, eps));
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad,
                                                     const at::Tensor& x,
                                                     const at::Tensor& weight,
                                                     const at::Tensor& rstd,
                                                     bool needs_weight) {
  if (!has_kernel(x, weight))
    return composite::rms_norm_backward(grad, x, weight, rstd, needs_weight);
  const at::Tensor rows = as_rows(x), grads = grad.contiguous();
  at::Tensor grad_x = at::empty(x.sizes(), x.options());
  // Fixed chunks, not one a thread: the sum over rows is the same for any number of threads.
  const int64_t chunk = 4 * grain_rows(rows.size(1)), chunks = (rows.size(0) + chunk - 1) / chunk;
  at::Tensor partial;
  if (needs_weight)
    partial =
        at::zeros({std::max<int64_t>(chunks, 1), rows.size(1)}, x.options().dtype(at::kFloat));
  with_storage(x, [&]<class T>(T*) {
    const auto params = norm_params<T>(rows, weight, 0.0);
    const kernels::RmsNormGradients<T> gradients{.grad = data_of<T>(grads),
                                                 .rstd = rstd.const_data_ptr<float>(),
                                                 .grad_x = mutable_data_of<T>(grad_x)};
    at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        kernels::rms_norm_backward_cpu(
            params,
            gradients,
            needs_weight ? partial.data_ptr<float>() + i * rows.size(1) : nullptr,
            i * chunk,
            std::min(rows.size(0), (i + 1) * chunk));
      }
    });
  });
  if (!needs_weight) return {grad_x, at::Tensor()};
  const at::Tensor grad_weight = chunks > 1 ? partial.sum(0) : partial.select(0, 0);
  return {grad_x, grad_weight.to(weight.scalar_type())};
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  check_rotate(x, cos, sin);
  if (!has_kernel(x, x)) return composite::rotate(x, cos, sin, inverse);
  const at::Tensor source = x.stride(2) == 1 ? x : x.contiguous();
  at::Tensor out = at::empty(x.sizes(), x.options());
  with_storage(x, [&]<class T>(T*) {
    const auto params = rotate_params<T>(source, cos, sin, inverse);
    const int64_t grain = grain_rows(x.size(1) * x.size(2));
    at::parallel_for(0, x.size(0), grain, [&](int64_t begin, int64_t end) {
      kernels::rotate_cpu(params, mutable_data_of<T>(out), begin, end);
    });
  });
  return out;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  check_swiglu(gate, up);
  if (!has_kernel(gate, up)) return composite::swiglu(gate, up);
  const at::Tensor g = as_rows(gate), u = as_rows(up);
  at::Tensor out = at::empty(gate.sizes(), gate.options());
  with_storage(gate, [&]<class T>(T*) {
    const auto params = swiglu_params<T>(g, u);
    at::parallel_for(0, g.size(0), grain_rows(g.size(1)), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward_cpu(params, mutable_data_of<T>(out), begin, end);
    });
  });
  return out;
}

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad,
                                                   const at::Tensor& gate,
                                                   const at::Tensor& up) {
  if (!has_kernel(gate, up)) return composite::swiglu_backward(grad, gate, up);
  const at::Tensor g = as_rows(gate), u = as_rows(up), grads = grad.contiguous();
  at::Tensor grad_gate = at::empty(gate.sizes(), gate.options()),
             grad_up = at::empty(gate.sizes(), gate.options());
  with_storage(gate, [&]<class T>(T*) {
    const auto params = swiglu_params<T>(g, u);
    const kernels::SwigluGradients<T> gradients{.grad = data_of<T>(grads),
                                                .grad_gate = mutable_data_of<T>(grad_gate),
                                                .grad_up = mutable_data_of<T>(grad_up)};
    at::parallel_for(0, g.size(0), grain_rows(g.size(1)), [&](int64_t begin, int64_t end) {
      kernels::swiglu_backward_cpu(params, gradients, begin, end);
    });
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
