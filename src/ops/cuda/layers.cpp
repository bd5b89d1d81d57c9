// Norm, rotary and SwiGLU on CUDA: launches on the current stream, in float and bfloat16.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/layers/layers_cuda.h"
#include "ops/composite_layers.h"
#include "ops/layer_rows.h"

namespace sgrpo::ops {
namespace {

bool has_norm_kernel(const at::Tensor& x, const at::Tensor& weight) {
  return has_kernel(x, weight) && x.size(-1) <= kernels::kCudaNormWidth;
}

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const at::Tensor& weight,
                                                    double eps) {
  if (!has_norm_kernel(x, weight)) return composite::rms_norm_forward(x, weight, eps);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor rows = as_rows(x);
  at::Tensor out = at::empty(x.sizes(), x.options());
  at::Tensor rstd = at::empty({rows.size(0)}, x.options().dtype(at::kFloat));
  with_storage(x, [&]<class T>(T*) {
    C10_CUDA_CHECK(kernels::rms_norm_forward_cuda(norm_params<T>(rows, weight, eps),
                                                  mutable_data_of<T>(out),
                                                  rstd.data_ptr<float>(),
                                                  rows.size(0),
                                                  c10::cuda::getCurrentCUDAStream()));
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
  if (!has_norm_kernel(x, weight))
    return composite::rms_norm_backward(grad, x, weight, rstd, needs_weight);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor rows = as_rows(x), grads = grad.contiguous();
  at::Tensor grad_x = at::empty(x.sizes(), x.options()), partial;
  if (needs_weight)
    partial = at::empty(
        {(rows.size(0) + kernels::kCudaNormRows - 1) / kernels::kCudaNormRows, rows.size(1)},
        x.options().dtype(at::kFloat));
  with_storage(x, [&]<class T>(T*) {
    const kernels::RmsNormGradients<T> gradients{.grad = data_of<T>(grads),
                                                 .rstd = rstd.const_data_ptr<float>(),
                                                 .grad_x = mutable_data_of<T>(grad_x)};
    C10_CUDA_CHECK(
        kernels::rms_norm_backward_cuda(norm_params<T>(rows, weight, 0.0),
                                        gradients,
                                        needs_weight ? partial.data_ptr<float>() : nullptr,
                                        rows.size(0),
                                        c10::cuda::getCurrentCUDAStream()));
  });
  if (!needs_weight) return {grad_x, at::Tensor()};
  return {grad_x, partial.sum(0).to(weight.scalar_type())};
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  check_rotate(x, cos, sin);
  if (!has_kernel(x, x)) return composite::rotate(x, cos, sin, inverse);
  const c10::cuda::CUDAGuard guard(x.device());
  const at::Tensor source = x.stride(2) == 1 ? x : x.contiguous();
  at::Tensor out = at::empty(x.sizes(), x.options());
  with_storage(x, [&]<class T>(T*) {
    C10_CUDA_CHECK(kernels::rotate_cuda(rotate_params<T>(source, cos, sin, inverse),
                                        mutable_data_of<T>(out),
                                        x.size(0),
                                        c10::cuda::getCurrentCUDAStream()));
  });
  return out;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  check_swiglu(gate, up);
  if (!has_kernel(gate, up)) return composite::swiglu(gate, up);
  const c10::cuda::CUDAGuard guard(gate.device());
  const at::Tensor g = as_rows(gate), u = as_rows(up);
  at::Tensor out = at::empty(gate.sizes(), gate.options());
  with_storage(gate, [&]<class T>(T*) {
    C10_CUDA_CHECK(kernels::swiglu_forward_cuda(swiglu_params<T>(g, u),
                                                mutable_data_of<T>(out),
                                                g.size(0),
                                                c10::cuda::getCurrentCUDAStream()));
  });
  return out;
}

std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad,
                                                   const at::Tensor& gate,
                                                   const at::Tensor& up) {
  if (!has_kernel(gate, up)) return composite::swiglu_backward(grad, gate, up);
  const c10::cuda::CUDAGuard guard(gate.device());
  const at::Tensor g = as_rows(gate), u = as_rows(up), grads = grad.contiguous();
  at::Tensor grad_gate = at::empty(gate.sizes(), gate.options()),
             grad_up = at::empty(gate.sizes(), gate.options());
  with_storage(gate, [&]<class T>(T*) {
    const kernels::SwigluGradients<T> gradients{.grad = data_of<T>(grads),
                                                .grad_gate = mutable_data_of<T>(grad_gate),
                                                .grad_up = mutable_data_of<T>(grad_up)};
    C10_CUDA_CHECK(kernels::swiglu_backward_cuda(
        swiglu_params<T>(g, u), gradients, g.size(0), c10::cuda::getCurrentCUDAStream()));
  });
  return {grad_gate, grad_up};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CUDA, m) {
  m.impl("rms_norm", rms_norm_only);
  m.impl("rms_norm_forward", rms_norm_forward);
  m.impl("rms_norm_backward", rms_norm_backward);
  m.impl("rotate", rotate);
  m.impl("swiglu", swiglu);
  m.impl("swiglu_backward", swiglu_backward);
}

}  // namespace sgrpo::ops
