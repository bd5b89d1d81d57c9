// Autograd of the output layer: logits are kept when they are small, recomputed chunk by chunk
// otherwise.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/autograd/dispatch.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Keeping the logits saves a quarter of the layer's work; beyond this many bytes memory is worth
/// more.
constexpr int64_t kKeepBytes = int64_t{64} << 20;

using ForwardSchema = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
using BackwardSchema = std::tuple<at::Tensor, at::Tensor>(const std::optional<at::Tensor>&,
                                                          const std::optional<at::Tensor>&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          const at::Tensor&,
                                                          double,
                                                          std::array<bool, 2>);

class LinearLogprob : public torch::autograd::Function<LinearLogprob> {
 public:
  static variable_list forward(AutogradContext* context,
                               const at::Tensor& hidden,
                               const at::Tensor& weight,
                               const at::Tensor& labels,
                               const at::Tensor& masked_ids,
                               double temperature) {
    static const auto op = find_op<ForwardSchema>("sgrpo::linear_logprob_forward");
    const at::AutoDispatchBelowADInplaceOrView guard;
    const bool keep = hidden.size(0) * weight.size(0) * 4 <= kKeepBytes;
    auto [logprobs, entropy, lse, logits] =
        op.call(hidden, weight, labels, masked_ids, temperature, keep);
    context->save_for_backward({hidden, weight, labels, masked_ids, entropy, lse, logits});
    context->saved_data["temperature"] = temperature;
    context->set_materialize_grads(false);
    return {logprobs, entropy};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = find_op<BackwardSchema>("sgrpo::linear_logprob_backward");
    refuse_second_derivative("linear_logprob");
    const variable_list saved = context->get_saved_variables();
    const auto given = [](const at::Tensor& t) {
      return t.defined() ? std::make_optional(t) : std::nullopt;
    };
    auto [grad_hidden, grad_weight] =
        op.call(given(grads[0]),
                given(grads[1]),
                saved[0],
                saved[1],
                saved[2],
                saved[3],
                saved[4],
                saved[5],
                saved[6],
                context->saved_data["temperature"].toDouble(),
                {context->needs_input_grad(0), context->needs_input_grad(1)});
    return {grad_hidden, grad_weight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

std::tuple<at::Tensor, at::Tensor> with_autograd(const at::Tensor& hidden,
                                                 const at::Tensor& weight,
                                                 const at::Tensor& labels,
                                                 const at::Tensor& masked_ids,
                                                 double temperature) {
  const variable_list result =
      LinearLogprob::apply(hidden, weight, labels, masked_ids, temperature);
  return {result[0], result[1]};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Autograd, m) { m.impl("linear_logprob", with_autograd); }

std::tuple<at::Tensor, at::Tensor> linear_logprob(const at::Tensor& hidden,
                                                  const at::Tensor& weight,
                                                  const at::Tensor& labels,
                                                  const at::Tensor& masked_ids,
                                                  double temperature) {
  using Schema = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double);
  static const auto op = find_op<Schema>("sgrpo::linear_logprob");
  return op.call(hidden, weight, labels, masked_ids, temperature);
}

}  // namespace sgrpo::ops
