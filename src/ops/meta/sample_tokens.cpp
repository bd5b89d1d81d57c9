#include <ATen/ATen.h>
#include <torch/library.h>

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor, at::Tensor> sample(const at::Tensor& logits,
                                                      const at::Tensor& /*uniform*/,
                                                      const at::Tensor& /*masked_ids*/,
                                                      double /*temperature*/,
                                                      double /*top_p*/,
                                                      int64_t /*top_k*/,
                                                      bool /*greedy*/) {
  TORCH_CHECK_VALUE(logits.dim() == 2, "logits has shape ", logits.sizes(), ", expected [B, V]");
  const auto meta = at::TensorOptions().device(at::kMeta);
  return {at::empty({logits.size(0)}, meta.dtype(at::kLong)),
          at::empty({logits.size(0)}, meta.dtype(at::kFloat)),
          at::empty({logits.size(0)}, meta.dtype(at::kFloat))};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, Meta, m) { m.impl("sample_tokens", sample); }

}  // namespace sgrpo::ops
