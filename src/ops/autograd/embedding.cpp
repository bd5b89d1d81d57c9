// Rows of a table by id, whose gradient is summed in f32.
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/autograd/dispatch.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// LibTorch adds the gradients of a bfloat16 table row by row in bfloat16: the sum over an id that
/// comes up a few hundred times stands still.
class Embedding : public torch::autograd::Function<Embedding> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& weight,
                            const at::Tensor& ids) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({ids});
    context->saved_data["rows"] = weight.size(0);
    return at::embedding(weight, ids);
  }
  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    refuse_second_derivative("embedding");
    const bool is_wide = grads[0].scalar_type() == at::kDouble;
    return {at::embedding_dense_backward(is_wide ? grads[0] : grads[0].to(at::kFloat),
                                         context->get_saved_variables()[0],
                                         context->saved_data["rows"].toInt(),
                                         /*padding_idx=*/-1,
                                         /*scale_grad_by_freq=*/false),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor embed(const at::Tensor& weight, const at::Tensor& ids) {
  return Embedding::apply(weight, ids);
}

}  // namespace sgrpo::ops
