// Autograd of segment attention: forward keeps the log-sum-exp, backward is an op of its own.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/autograd/dispatch.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Attention = at::Tensor(const at::Tensor&,
                             const at::Tensor&,
                             const at::Tensor&,
                             const at::Tensor&,
                             const at::Tensor&,
                             const at::Tensor&,
                             double,
                             bool);
using AttentionForward = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
using AttentionBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&,
                                                                         const at::Tensor&,
                                                                         const at::Tensor&,
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
                            const at::Tensor& table,
                            const at::Tensor& cluster_begin,
                            const at::Tensor& cluster_members,
                            double scale,
                            bool causal) {
    static const auto op = find_op<AttentionForward>("sgrpo::segment_attention_forward");
    const at::AutoDispatchBelowADInplaceOrView guard;
    auto [out, lse] = op.call(q, k, v, table, scale, causal);
    context->save_for_backward({q, k, v, out, lse, table, cluster_begin, cluster_members});
    context->saved_data["scale"] = scale;
    context->saved_data["causal"] = causal;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    static const auto op = find_op<AttentionBackward>("sgrpo::segment_attention_backward");
    refuse_second_derivative("segment_attention");
    const variable_list saved = context->get_saved_variables();
    TORCH_CHECK_NOT_IMPLEMENTED(saved[6].numel() > 0,
                                "attention by a plan of decode steps has no derivative");
    auto [grad_q, grad_k, grad_v] = op.call(grads[0],
                                            saved[0],
                                            saved[1],
                                            saved[2],
                                            saved[3],
                                            saved[4],
                                            saved[5],
                                            saved[6],
                                            saved[7],
                                            context->saved_data["scale"].toDouble(),
                                            context->saved_data["causal"].toBool());
    return {grad_q, grad_k, grad_v, {}, {}, {}, {}, {}};
  }
};

at::Tensor attend_with_autograd(const at::Tensor& q,
                                const at::Tensor& k,
                                const at::Tensor& v,
                                const at::Tensor& table,
                                const at::Tensor& cluster_begin,
                                const at::Tensor& cluster_members,
                                double scale,
                                bool causal) {
  return SegmentAttention::apply(q, k, v, table, cluster_begin, cluster_members, scale, causal);
}

void check_rows(const at::Tensor& t, const char* name, const at::Tensor& q) {
  TORCH_CHECK_VALUE(t.dim() == 3 && t.size(2) == q.size(2),
                    name,
                    " has shape ",
                    t.sizes(),
                    ", expected [T, heads, E] with E = ",
                    q.size(2));
  TORCH_CHECK_TYPE(t.scalar_type() == q.scalar_type(),
                   name,
                   " is ",
                   t.scalar_type(),
                   ", expected ",
                   q.scalar_type());
  TORCH_CHECK_VALUE(t.stride(2) == 1, name, " must be contiguous in its last dimension");
}

void check_arguments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TORCH_CHECK_VALUE(q.dim() == 3, "q has shape ", q.sizes(), ", expected [Tq, H, E]");
  TORCH_CHECK_TYPE(q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble ||
                       q.scalar_type() == at::kBFloat16,
                   "q is ",
                   q.scalar_type(),
                   ", expected Float, BFloat16 or Double");
  check_rows(q, "q", q);
  check_rows(k, "k", q);
  check_rows(v, "v", q);
  TORCH_CHECK_VALUE(k.size(0) == v.size(0) && k.size(1) == v.size(1),
                    "k has shape ",
                    k.sizes(),
                    ", v ",
                    v.sizes());
  TORCH_CHECK_VALUE(k.size(1) > 0 && q.size(1) % k.size(1) == 0,
                    "q has ",
                    q.size(1),
                    " heads, k has ",
                    k.size(1),
                    ": expected a multiple");
}

/// The segments were checked when the plan was made: two sizes and a device are left.
void check_plan(const at::Tensor& q, const at::Tensor& k, const AttentionPlan& plan) {
  TORCH_CHECK_VALUE(q.size(0) == plan.num_queries(),
                    "q has ",
                    q.size(0),
                    " rows, the attention plan covers ",
                    plan.num_queries());
  TORCH_CHECK_VALUE(k.size(0) >= plan.num_keys(),
                    "k has ",
                    k.size(0),
                    " rows, the attention plan reads ",
                    plan.num_keys());
  TORCH_CHECK_VALUE(plan.table().device() == q.device(),
                    "the attention plan lies on ",
                    plan.table().device(),
                    ", q on ",
                    q.device());
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Autograd, m) { m.impl("segment_attention", attend_with_autograd); }

at::Tensor segment_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const AttentionPlan& plan,
                             double scale) {
  static const auto op = find_op<Attention>("sgrpo::segment_attention");
  check_arguments(q, k, v);
  check_plan(q, k, plan);
  return op.call(
      q, k, v, plan.table(), plan.cluster_begin(), plan.cluster_members(), scale, plan.is_causal());
}

}  // namespace sgrpo::ops
