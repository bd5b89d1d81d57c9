// Slow twin of src/rollout: one completion at a time, a whole forward pass per token, no cache, and
// the distribution in double.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "sgrpo/core/rng.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::reference {

struct SlowCompletion {
  std::vector<int64_t> token_ids;
  std::vector<double> logprobs;
  double entropy_sum = 0.0;
};

/// log softmax of the tempered logits, -inf for masked ids.
inline std::vector<double> log_distribution(const at::Tensor& logits,
                                            const SamplingOptions& options,
                                            const std::vector<int64_t>& masked_ids) {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  const auto* values = logits.const_data_ptr<float>();
  std::vector<double> result(values, values + logits.numel());
  for (double& value : result) value /= options.temperature;
  for (const int64_t id : masked_ids) result[static_cast<size_t>(id)] = kNever;
  const double largest = *std::max_element(result.begin(), result.end());
  double sum = 0.0;
  for (const double value : result) sum += std::exp(value - largest);
  for (double& value : result) value -= largest + std::log(sum);
  return result;
}

/// Log-probs of the tokens that top_k and then top_p let through; -inf for the others.
inline std::vector<double> candidates(std::vector<double> logprobs,
                                      const SamplingOptions& options) {
  std::vector<double> sorted = logprobs;
  std::sort(sorted.rbegin(), sorted.rend());
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(sorted.size()))
    sorted.resize(static_cast<size_t>(options.top_k));
  double kept = 0.0, total = 0.0;
  for (const double value : sorted) kept += std::exp(value);
  double lowest = sorted.back();
  for (const double value : sorted) {
    total += std::exp(value);
    if (options.top_p < 1.0 && total >= options.top_p * kept) {
      lowest = value;
      break;
    }
  }
  for (double& value : logprobs) {
    if (value < lowest) value = -std::numeric_limits<double>::infinity();
  }
  return logprobs;
}

/// Inverse transform in the order of ids.
inline int64_t choose(const std::vector<double>& logprobs, double uniform) {
  double total = 0.0;
  for (const double value : logprobs) total += std::exp(value);
  double target = uniform * total;
  int64_t last = 0;
  for (size_t id = 0; id < logprobs.size(); ++id) {
    const double weight = std::exp(logprobs[id]);
    if (weight == 0.0) continue;
    last = static_cast<int64_t>(id);
    if (target < weight) return last;
    target -= weight;
  }
  return last;
}

/// Logits behind the last token of prompt + completion. [V]
inline at::Tensor slow_logits(const model::Model& model,
                              const EncodedPrompt& prompt,
                              const std::vector<int64_t>& completion) {
  const auto length = static_cast<int64_t>(completion.size());
  const int64_t tokens = prompt.num_tokens() + length, next = prompt.next_position();
  model::PackedTokens input;
  input.token_ids = at::cat({prompt.token_ids, at::tensor(completion, at::kLong)});
  const at::Tensor tail = at::arange(next, next + length, at::kLong).expand({3, length});
  input.position_ids = at::cat({prompt.position_ids, tail}, 1);
  input.pixel_values = prompt.patches.pixel_values;
  input.grid_thw = prompt.patches.grid_thw;
  input.image_rows = at::tensor(prompt.image_rows, at::kLong);
  input.plan = ops::AttentionPlan::of_lengths({tokens}, /*causal=*/true);
  const at::Tensor hidden = model.forward(input);
  return at::linear(hidden.select(0, tokens - 1), model.output_weight()).contiguous();
}

/// Completion `sample_index` of a request.
inline SlowCompletion sample_slowly(const model::Model& model,
                                    const SamplingRequest& request,
                                    const std::vector<int64_t>& masked_ids,
                                    int64_t sample_index) {
  const at::NoGradGuard no_grad;
  const SamplingOptions& options = request.options;
  core::RandomKey key = request.key;
  key.sample_index = static_cast<uint64_t>(sample_index);
  key.purpose = core::Purpose::kSampling;
  SlowCompletion result;
  while (static_cast<int64_t>(result.token_ids.size()) < options.max_new_tokens) {
    const auto logprobs = log_distribution(
        slow_logits(model, *request.prompt, result.token_ids), options, masked_ids);
    const int64_t likeliest = std::max_element(logprobs.begin(), logprobs.end()) - logprobs.begin();
    const int64_t id = options.greedy ? likeliest
                                      : choose(candidates(logprobs, options),
                                               key.uniform(result.token_ids.size()));
    result.token_ids.push_back(id);
    result.logprobs.push_back(logprobs[static_cast<size_t>(id)]);
    double entropy = 0.0;
    for (const double value : logprobs) {
      if (std::isfinite(value)) entropy -= std::exp(value) * value;
    }
    result.entropy_sum += entropy;
    const auto& ends = options.end_token_ids;
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) break;
  }
  return result;
}

}  // namespace sgrpo::reference
