// Checks and parameters for the CPU sampling kernel; also serves CUDA logits, which are copied to
// the host.
#include "kernels/sample/sample.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

using SampleResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

SampleResult sample(const at::Tensor& logits,
                    const at::Tensor& uniform,
                    const at::Tensor& masked_ids,
                    double temperature,
                    double top_p,
                    int64_t top_k,
                    bool greedy) {
  TORCH_CHECK_VALUE(logits.dim() == 2, "logits has shape ", logits.sizes(), ", expected [B, V]");
  TORCH_CHECK_VALUE(uniform.dim() == 1 && uniform.size(0) == logits.size(0) &&
                        uniform.scalar_type() == at::kDouble,
                    "uniform must be [B] f64 with B = ",
                    logits.size(0));
  TORCH_CHECK_VALUE(
      temperature > 0, "temperature is ", temperature, ", expected > 0 (greedy is a flag)");
  at::Tensor host = logits.to(at::kCPU, at::kFloat).contiguous();
  if (masked_ids.numel() > 0) {
    const at::Tensor masked = masked_ids.cpu();
    TORCH_CHECK_VALUE(masked.numel() < logits.size(1) ||
                          std::get<0>(at::_unique(masked)).numel() < logits.size(1),
                      "masked_ids leave none of the ",
                      logits.size(1),
                      " ids to sample");
    host = host.index_fill(1, masked, -std::numeric_limits<float>::infinity());
  }
  at::Tensor ids = at::empty({logits.size(0)}, at::kLong),
             logprobs = at::empty({logits.size(0)}, at::kFloat),
             entropy = at::empty({logits.size(0)}, at::kFloat);
  const at::Tensor draws = uniform.cpu().contiguous();
  kernels::SampleParams params;
  params.logits = host.const_data_ptr<float>();
  params.uniform = draws.const_data_ptr<double>();
  params.vocab = logits.size(1);
  params.inverse_temperature = static_cast<float>(1.0 / temperature);
  params.top_p = top_p;
  params.top_k = top_k;
  params.greedy = greedy;
  params.ids = ids.data_ptr<int64_t>();
  params.logprobs = logprobs.data_ptr<float>();
  params.entropy = entropy.data_ptr<float>();
  at::parallel_for(0, logits.size(0), 1, [&](int64_t begin, int64_t end) {
    kernels::sample_cpu(params, begin, end);
  });
  return {ids, logprobs, entropy};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) { m.impl("sample_tokens", sample); }
TORCH_LIBRARY_IMPL(sgrpo, CUDA, m) { m.impl("sample_tokens", sample); }

SampledTokens sample_tokens(const at::Tensor& logits,
                            const at::Tensor& uniform,
                            const at::Tensor& masked_ids,
                            const SampleOptions& options) {
  using Schema = SampleResult(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, double, double, int64_t, bool);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("sgrpo::sample_tokens", "").typed<Schema>();
  auto [ids, logprobs, entropy] = op.call(logits,
                                          uniform,
                                          masked_ids,
                                          options.temperature,
                                          options.top_p,
                                          options.top_k,
                                          options.greedy);
  return {.ids = ids, .logprobs = logprobs, .entropy = entropy};
}

}  // namespace sgrpo::ops
