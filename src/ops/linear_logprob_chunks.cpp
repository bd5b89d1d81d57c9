#include "ops/linear_logprob_chunks.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <limits>

namespace sgrpo::ops {
namespace {

/// Logits of 8 MiB: larger chunks leave the cache, smaller ones starve the matrix product.
constexpr int64_t kChunkValues = int64_t{2} << 20;

/// Rows of one chunk of the forward. With large vocabularies at least 64: reading the weight takes
/// longer than multiplying it with fewer rows.
int64_t chunk_rows(int64_t vocab) {
  return std::max<int64_t>(64, kChunkValues / std::max<int64_t>(vocab, 1));
}

/// Ids of one tile of the backward, which takes all rows: every gradient of the weight is then one
/// product, written once, however many rows there are.
int64_t tile_ids(int64_t rows) {
  return std::max<int64_t>(256, kChunkValues / std::max<int64_t>(rows, 1));
}

/// Logits as f32, masked: [rows, V] of hidden [rows, D] and weight [V, D].
at::Tensor logits_of(const at::Tensor& hidden,
                     const at::Tensor& weight,
                     const at::Tensor& masked_ids) {
  at::Tensor logits = at::mm(hidden, weight.t()).to(at::kFloat);
  if (masked_ids.numel() > 0)
    logits.index_fill_(1, masked_ids, -std::numeric_limits<float>::infinity());
  return logits;
}

/// The masked ids of [begin, end), counted from begin.
at::Tensor masked_within(const at::Tensor& ids, int64_t begin, int64_t end) {
  return ids.masked_select(ids.ge(begin).bitwise_and_(ids.lt(end))) - begin;
}

/// Inputs of one chunk or tile as the kernels take them.
kernels::RowLogprobParams params_of(const at::Tensor& logits,
                                    const at::Tensor& labels,
                                    double temperature) {
  kernels::RowLogprobParams params;
  params.logits = logits.const_data_ptr<float>();
  params.labels = labels.const_data_ptr<int64_t>();
  params.num_rows = logits.size(0);
  params.vocab = logits.size(1);
  params.inverse_temperature = static_cast<float>(1.0 / temperature);
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
  if (!labels.is_cpu() || labels.numel() == 0) return;
  TORCH_CHECK_INDEX(
      labels.min().item<int64_t>() >= 0 && labels.max().item<int64_t>() < weight.size(0),
      "labels are outside [0, ",
      weight.size(0),
      ")");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> linear_logprob_forward(
    const RowKernels& kernels, const LinearLogprobInput& input, bool keep_logits) {
  check_linear_logprob(input);
  const c10::DeviceGuard guard(input.hidden.device());
  const int64_t rows = input.hidden.size(0);
  const auto f32 = input.hidden.options().dtype(at::kFloat);
  at::Tensor logprobs = at::empty({rows}, f32), entropy = at::empty({rows}, f32),
             lse = at::empty({rows}, f32);
  at::Tensor kept = at::empty({0}, f32);
  const int64_t step = keep_logits ? std::max<int64_t>(rows, 1) : chunk_rows(input.weight.size(0));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t end = std::min(rows, begin + step);
    const at::Tensor logits =
        logits_of(input.hidden.slice(0, begin, end), input.weight, input.masked_ids);
    auto params = params_of(logits, input.labels.slice(0, begin, end), input.temperature);
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
                                                           const LinearLogprobGrads& grads) {
  const c10::DeviceGuard guard(saved.input.hidden.device());
  const at::Tensor &hidden = saved.input.hidden, &weight = saved.input.weight;
  const auto packed = [](const at::Tensor& t) { return t.defined() ? t.contiguous() : t; };
  const at::Tensor by_logprob = packed(grads.logprobs), by_entropy = packed(grads.entropy);
  const auto data_of = [](const at::Tensor& t) {
    return t.defined() ? t.const_data_ptr<float>() : nullptr;
  };
  const bool is_kept = saved.logits.numel() > 0;
  const int64_t vocab = weight.size(0), step = is_kept ? vocab : tile_ids(hidden.size(0));
  // Sums over tiles in f32; what a tile adds to the weight's gradient is all there is.
  at::Tensor grad_hidden, grad_weight;
  if (grads.needs[0]) grad_hidden = at::zeros(hidden.sizes(), hidden.options().dtype(at::kFloat));
  if (grads.needs[1]) grad_weight = at::empty_like(weight);
  for (int64_t begin = 0; begin < vocab; begin += step) {
    const int64_t end = std::min(vocab, begin + step);
    const at::Tensor part = weight.slice(0, begin, end), labels = saved.input.labels - begin;
    const at::Tensor logits =
        is_kept ? saved.logits
                : logits_of(hidden, part, masked_within(saved.input.masked_ids, begin, end));
    at::Tensor grad =
        is_kept ? at::empty_like(logits) : logits;  // recomputed logits are ours to overwrite
    auto params = params_of(logits, labels, saved.input.temperature);
    params.entropy = saved.entropy.data_ptr<float>();
    params.lse = saved.lse.data_ptr<float>();
    kernels.backward(params, data_of(by_logprob), data_of(by_entropy), grad.data_ptr<float>());
    grad = grad.to(weight.scalar_type());
    if (grads.needs[0]) grad_hidden.add_(at::mm(grad, part));
    if (!grads.needs[1]) continue;
    at::Tensor slot = grad_weight.slice(0, begin, end);
    at::mm_out(slot, grad.t(), hidden);
  }
  if (grads.needs[0]) grad_hidden = grad_hidden.to(hidden.scalar_type());
  return {grad_hidden, grad_weight};
}

}  // namespace sgrpo::ops
