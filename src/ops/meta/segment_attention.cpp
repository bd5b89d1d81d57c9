#include <ATen/ATen.h>
#include <torch/library.h>

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> attend(const at::Tensor& q,
                                          const at::Tensor& /*k*/,
                                          const at::Tensor& /*v*/,
                                          const at::Tensor& /*table*/,
                                          double /*scale*/,
                                          bool /*causal*/) {
  const auto sums = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return {at::empty(q.sizes(), q.options()),
          at::empty({q.size(0), q.size(1)}, q.options().dtype(sums))};
}

at::Tensor attend_only(const at::Tensor& q,
                       const at::Tensor& /*k*/,
                       const at::Tensor& /*v*/,
                       const at::Tensor& /*table*/,
                       const at::Tensor& /*cluster_begin*/,
                       const at::Tensor& /*cluster_members*/,
                       double /*scale*/,
                       bool /*causal*/) {
  return at::empty(q.sizes(), q.options());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> attend_backward(
    const at::Tensor& /*grad*/,
    const at::Tensor& q,
    const at::Tensor& k,
    const at::Tensor& v,
    const at::Tensor& /*out*/,
    const at::Tensor& /*lse*/,
    const at::Tensor& /*table*/,
    const at::Tensor& /*cluster_begin*/,
    const at::Tensor& /*cluster_members*/,
    double /*scale*/,
    bool /*causal*/) {
  return {at::empty(q.sizes(), q.options()),
          at::empty(k.sizes(), k.options()),
          at::empty(v.sizes(), v.options())};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Meta, m) {
  m.impl("segment_attention", attend_only);
  m.impl("segment_attention_forward", attend);
  m.impl("segment_attention_backward", attend_backward);
}

}  // namespace sgrpo::ops
