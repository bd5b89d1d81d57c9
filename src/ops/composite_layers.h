// The layers as LibTorch compositions: every backend without a kernel of its own, and types other
// than f32.
#pragma once

#include <tuple>

#include <ATen/core/Tensor.h>

namespace sgrpo::ops::composite {

std::tuple<at::Tensor, at::Tensor> rms_norm_forward(const at::Tensor& x,
                                                    const at::Tensor& weight,
                                                    double eps);
std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad,
                                                     const at::Tensor& x,
                                                     const at::Tensor& weight,
                                                     const at::Tensor& rstd,
                                                     bool needs_weight);
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
std::tuple<at::Tensor, at::Tensor> swiglu_backward(const at::Tensor& grad,
                                                   const at::Tensor& gate,
                                                   const at::Tensor& up);

}  // namespace sgrpo::ops::composite
