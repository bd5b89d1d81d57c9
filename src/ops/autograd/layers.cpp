// Autograd of norm, rotary and SwiGLU: each backward is one op.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/autograd/dispatch.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Pair = std::tuple<at::Tensor, at::Tensor>;

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& x,
                            const at::Tensor& weight,
                            double eps) {
    static const auto op =
        find_op<Pair(const at::Tensor&, const at::Tensor&, double)>("sgrpo::rms_norm_forward");
    const at::AutoDispatchBelowADInplaceOrView guard;
    auto [out, rstd] = op.call(x, weight, eps);
    context->save_for_backward({x, weight, rstd});
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = find_op<Pair(
        const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool)>(
        "sgrpo::rms_norm_backward");
    refuse_second_derivative("rms_norm");
    const variable_list saved = context->get_saved_variables();
    auto [grad_x, grad_weight] =
        op.call(grads[0], saved[0], saved[1], saved[2], context->needs_input_grad(1));
    return {grad_x, grad_weight, at::Tensor()};
  }
};

using RotateSchema = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool);

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& x,
                            const at::Tensor& cos,
                            const at::Tensor& sin,
                            bool inverse) {
    static const auto op = find_op<RotateSchema>("sgrpo::rotate");
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({cos, sin});
    context->saved_data["inverse"] = inverse;
    return op.call(x, cos, sin, inverse);
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = find_op<RotateSchema>("sgrpo::rotate");
    refuse_second_derivative("rotate");
    const variable_list saved = context->get_saved_variables();
    const bool inverse = context->saved_data["inverse"].toBool();
    return {
        op.call(grads[0], saved[0], saved[1], !inverse), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& gate,
                            const at::Tensor& up) {
    static const auto op =
        find_op<at::Tensor(const at::Tensor&, const at::Tensor&)>("sgrpo::swiglu");
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({gate, up});
    return op.call(gate, up);
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = find_op<Pair(const at::Tensor&, const at::Tensor&, const at::Tensor&)>(
        "sgrpo::swiglu_backward");
    refuse_second_derivative("swiglu");
    const variable_list saved = context->get_saved_variables();
    auto [grad_gate, grad_up] = op.call(grads[0], saved[0], saved[1]);
    return {grad_gate, grad_up};
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Autograd, m) {
  m.impl("rms_norm", [](const at::Tensor& x, const at::Tensor& weight, double eps) -> at::Tensor {
    return RmsNorm::apply(x, weight, eps);
  });
  m.impl("rotate",
         [](const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool inverse)
             -> at::Tensor { return Rotate::apply(x, cos, sin, inverse); });
  m.impl("swiglu", [](const at::Tensor& gate, const at::Tensor& up) -> at::Tensor {
    return Swiglu::apply(gate, up);
  });
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  static const auto op =
      find_op<at::Tensor(const at::Tensor&, const at::Tensor&, double)>("sgrpo::rms_norm");
  return op.call(x, weight, eps);
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  static const auto op = find_op<RotateSchema>("sgrpo::rotate");
  return op.call(x, cos, sin, false);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  static const auto op = find_op<at::Tensor(const at::Tensor&, const at::Tensor&)>("sgrpo::swiglu");
  return op.call(gate, up);
}

}  // namespace sgrpo::ops
