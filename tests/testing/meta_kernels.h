// Kernels of the meta device that LibTorch has in Python alone: shapes without values, for tests
// that run a model on a device that holds no data. A program includes this once.
#pragma once

#include <array>
#include <optional>
#include <tuple>

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <torch/library.h>

namespace sgrpo::testing::meta {

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

inline at::Tensor where(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  const auto shape = at::infer_size(at::infer_size(condition.sizes(), a.sizes()), b.sizes());
  return at::empty(shape, condition.options().dtype(at::result_type(a, b)));
}

inline at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  auto shape = self.sizes().vec();
  shape[static_cast<size_t>(at::maybe_wrap_dim(dim, self.dim()))] = index.numel();
  return at::empty(shape, self.options());
}

inline at::Tensor isnan(const at::Tensor& self) {
  return at::empty(self.sizes(), self.options().dtype(at::kBool));
}

inline at::Tensor both(const at::Tensor& self, const at::Tensor& other) {
  return at::empty(at::infer_size(self.sizes(), other.sizes()), self.options().dtype(at::kBool));
}

inline at::Tensor& both_in_place(at::Tensor& self, const at::Tensor& /*other*/) { return self; }

inline at::Tensor& both_out(const at::Tensor& /*self*/,
                            const at::Tensor& /*other*/,
                            at::Tensor& out) {
  return out;
}

inline at::Tensor same(const at::Tensor& self) { return at::empty(self.sizes(), self.options()); }

inline at::Tensor nan_to_num(const at::Tensor& self,
                             std::optional<double> /*nan*/,
                             std::optional<double> /*posinf*/,
                             std::optional<double> /*neginf*/) {
  return same(self);
}

inline at::Tensor scalar(const at::Tensor& self) { return at::empty({}, self.options()); }

inline at::Tensor dot(const at::Tensor& self, const at::Tensor& /*other*/) { return scalar(self); }

/// Mean and rstd: one a row.
inline Three native_layer_norm(const at::Tensor& input,
                               c10::SymIntArrayRef normalized_shape,
                               const std::optional<at::Tensor>& /*weight*/,
                               const std::optional<at::Tensor>& /*bias*/,
                               double /*eps*/) {
  auto rows = input.sizes().vec();
  const auto first = rows.size() - normalized_shape.size();
  for (size_t i = first; i < rows.size(); ++i) rows[i] = 1;
  return {at::empty(input.sizes(), input.options()),
          at::empty(rows, input.options()),
          at::empty(rows, input.options())};
}

inline Three native_layer_norm_backward(const at::Tensor& /*grad*/,
                                        const at::Tensor& input,
                                        c10::SymIntArrayRef /*normalized_shape*/,
                                        const at::Tensor& /*mean*/,
                                        const at::Tensor& /*rstd*/,
                                        const std::optional<at::Tensor>& weight,
                                        const std::optional<at::Tensor>& bias,
                                        std::array<bool, 3> needs) {
  const auto like = [](bool is_needed, const at::Tensor& tensor) {
    return is_needed ? at::empty(tensor.sizes(), tensor.options()) : at::Tensor();
  };
  return {like(needs[0], input),
          like(needs[1], weight.value_or(at::Tensor())),
          like(needs[2], bias.value_or(at::Tensor()))};
}

inline at::Tensor embedding_dense_backward(const at::Tensor& grad,
                                           const at::Tensor& /*indices*/,
                                           c10::SymInt num_weights,
                                           c10::SymInt /*padding_idx*/,
                                           bool /*scale_grad_by_freq*/) {
  return at::empty({num_weights.expect_int(), grad.size(-1)}, grad.options());
}

}  // namespace sgrpo::testing::meta

TORCH_LIBRARY_IMPL(aten, Meta, m) {
  namespace meta = sgrpo::testing::meta;
  m.impl("where.self", meta::where);
  m.impl("index_select", meta::index_select);
  m.impl("isnan", meta::isnan);
  m.impl("logical_not", meta::isnan);
  m.impl("logical_and", meta::both);
  m.impl("logical_and_", meta::both_in_place);
  m.impl("logical_or", meta::both);
  m.impl("logical_and.out", meta::both_out);
  m.impl("logical_or.out", meta::both_out);
  m.impl("abs", meta::same);
  m.impl("nan_to_num", meta::nan_to_num);
  m.impl("dot", meta::dot);
  m.impl("max", meta::scalar);
  m.impl("min", meta::scalar);
  m.impl("native_layer_norm", meta::native_layer_norm);
  m.impl("native_layer_norm_backward", meta::native_layer_norm_backward);
  m.impl("embedding_dense_backward", meta::embedding_dense_backward);
}
