// Autograd of segment attention: forward keeps the log-sum-exp, backward is an op of its own.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using AttentionForward = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
using AttentionBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         double,
                                                                         bool);

class SegmentAttention : public torch::autograd::Function<SegmentAttention> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& q,
                            const at::Tensor& k,
                            const at::Tensor& v,
                            const at::Tensor& segments,
                            double scale,
                            bool causal) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("sgrpo::segment_attention_forward", "")
                               .typed<AttentionForward>();
    const at::AutoDispatchBelowADInplaceOrView guard;
    auto [out, lse] = op.call(q, k, v, segments, scale, causal);
    context->save_for_backward({q, k, v, out, lse, segments});
    context->saved_data["scale"] = scale;
    context->saved_data["causal"] = causal;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("sgrpo::segment_attention_backward", "")
                               .typed<AttentionBackward>();
    TORCH_CHECK_NOT_IMPLEMENTED(
        !at::GradMode::is_enabled(),
        "segment_attention has no second derivative: backward with create_graph is refused");
    const variable_list saved = context->get_saved_variables();
    auto [grad_q, grad_k, grad_v] = op.call(grads[0],
                                            saved[0],
                                            saved[1],
                                            saved[2],
                                            saved[3],
                                            saved[4],
                                            saved[5],
                                            context->saved_data["scale"].toDouble(),
                                            context->saved_data["causal"].toBool());
    return {grad_q, grad_k, grad_v, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor attend_with_autograd(const at::Tensor& q,
                                const at::Tensor& k,
                                const at::Tensor& v,
                                const at::Tensor& segments,
                                double scale,
                                bool causal) {
  return SegmentAttention::apply(q, k, v, segments, scale, causal);
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Autograd, m) { m.impl("segment_attention", attend_with_autograd); }

at::Tensor segment_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const at::Tensor& segments,
                             double scale,
                             bool causal) {
  using Schema = at::Tensor(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("sgrpo::segment_attention", "")
                             .typed<Schema>();
  return op.call(q, k, v, segments, scale, causal);
}

}  // namespace sgrpo::ops
