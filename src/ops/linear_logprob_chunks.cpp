#include "ops/linear_logprob_chunks.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace sgrpo::ops {
namespace {

/// Rows whose logits fill about 8 MiB, at least 16: larger chunks leave the cache, smaller ones
/// starve the matrix product.
int64_t chunk_rows(int64_t vocab) {
  return std::max<int64_t>(16, (int64_t{2} << 20) / std::max<int64_t>(vocab, 1));
}

/// Logits of rows [begin, end) as f32, masked.
at::Tensor logits_of(const LinearLogprobInput& input, int64_t begin, int64_t end) {
  at::Tensor logits = at::mm(input.hidden.slice(0, begin, end), input.weight.t()).to(at::kFloat);
  if (input.masked_ids.numel() > 0)
    logits.index_fill_(1, input.masked_ids, -std::numeric_limits<float>::infinity());
  return logits;
}

/// Results and inputs of one chunk as the kernels take them.
kernels::RowLogprobParams params_of(const at::Tensor& logits,
                                    const LinearLogprobInput& input,
                                    int64_t begin) {
  kernels::RowLogprobParams params;
  params.logits = logits.const_data_ptr<float>();
  params.labels = input.labels.const_data_ptr<int64_t>() + begin;
  params.num_rows = logits.size(0);
  params.vocab = logits.size(1);
  params.inverse_temperature = static_cast<float>(1.0 / input.temperature);
  return params;
}

}  // namespace

void check_linear_logprob(const LinearLogprobInput& input) {
  const auto& [hidden, weight, labels, masked_ids, temperature] = input;
  TORCH_CHECK_VALUE(hidden.dim() == 2, "hidden has shape ", hidden.sizes(), ", expected [M, D]");
  TORCH_CHECK_VALUE(weight.dim() == 2 && weight.size(1) == hidden.size(1),
                    "weight has shape ",
                    weight.sizes(),
                    ", expected [V, D] with D = ",
                    hidden.size(1));
  TORCH_CHECK_VALUE(labels.dim() == 1 && labels.size(0) == hidden.size(0) &&
                        labels.scalar_type() == at::kLong && labels.is_contiguous(),
                    "labels must be contiguous [M] i64 with M = ",
                    hidden.size(0));
  TORCH_CHECK_VALUE(labels.device() == hidden.device() && weight.device() == hidden.device(),
                    "hidden is on ",
                    hidden.device(),
                    ", weight on ",
                    weight.device(),
                    ", labels on ",
                    labels.device());
  TORCH_CHECK_VALUE(masked_ids.dim() == 1 && masked_ids.scalar_type() == at::kLong,
                    "masked_ids has shape ",
                    masked_ids.sizes(),
                    ", expected [Z] i64");
  TORCH_CHECK_VALUE(temperature > 0, "temperature is ", temperature, ", expected > 0");
  if (labels.is_meta() || labels.numel() == 0) return;
  TORCH_CHECK_INDEX(
      labels.min().item<int64_t>() >= 0 && labels.max().item<int64_t>() < weight.size(0),
      "labels are outside [0, ",
      weight.size(0),
      ")");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> linear_logprob_forward(
    const RowKernels& kernels, const LinearLogprobInput& input, bool keep_logits) {
  check_linear_logprob(input);
  const int64_t rows = input.hidden.size(0);
  const auto f32 = input.hidden.options().dtype(at::kFloat);
  at::Tensor logprobs = at::empty({rows}, f32), entropy = at::empty({rows}, f32),
             lse = at::empty({rows}, f32);
  at::Tensor kept = at::empty({0}, f32);
  const int64_t step = keep_logits ? std::max<int64_t>(rows, 1) : chunk_rows(input.weight.size(0));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t end = std::min(rows, begin + step);
    const at::Tensor logits = logits_of(input, begin, end);
    auto params = params_of(logits, input, begin);
    params.logprobs = logprobs.data_ptr<float>() + begin;
    params.entropy = entropy.data_ptr<float>() + begin;
    params.lse = lse.data_ptr<float>() + begin;
    kernels.forward(params);
    if (keep_logits) kept = logits;
  }
  return {logprobs, entropy, lse, kept};
}

std::tuple<at::Tensor, at::Tensor> linear_logprob_backward(const RowKernels& kernels,
                                                           const LinearLogprobSaved& saved,
                                                           const at::Tensor& grad_logprobs,
                                                           const at::Tensor& grad_entropy) {
  const at::Tensor &hidden = saved.input.hidden, &weight = saved.input.weight;
  const int64_t rows = hidden.size(0);
  at::Tensor grad_hidden = at::empty_like(hidden), grad_weight = at::zeros_like(weight);
  const auto packed = [](const at::Tensor& t) { return t.defined() ? t.contiguous() : t; };
  const at::Tensor by_logprob = packed(grad_logprobs), by_entropy = packed(grad_entropy);
  const auto at_row = [](const at::Tensor& t, int64_t row) {
    return t.defined() ? t.const_data_ptr<float>() + row : nullptr;
  };
  const bool is_kept = saved.logits.numel() > 0;
  const int64_t step = is_kept ? std::max<int64_t>(rows, 1) : chunk_rows(weight.size(0));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t end = std::min(rows, begin + step);
    const at::Tensor logits = is_kept ? saved.logits : logits_of(saved.input, begin, end);
    at::Tensor grad =
        is_kept ? at::empty_like(logits) : logits;  // recomputed logits are ours to overwrite
    auto params = params_of(logits, saved.input, begin);
    params.entropy = saved.entropy.data_ptr<float>() + begin;
    params.lse = saved.lse.data_ptr<float>() + begin;
    kernels.backward(
        params, at_row(by_logprob, begin), at_row(by_entropy, begin), grad.data_ptr<float>());
    grad = grad.to(weight.scalar_type());
    grad_hidden.slice(0, begin, end).copy_(at::mm(grad, weight));
    grad_weight.addmm_(grad.t(), hidden.slice(0, begin, end));
  }
  return {grad_hidden, grad_weight};
}

}  // namespace sgrpo::ops
