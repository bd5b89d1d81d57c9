// Prompts -> groups of completions, with log-probs under the sampling policy. No gradients here.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/model/model.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/train_batch.h"

namespace sgrpo::rollout {

/// How completions are sampled.
struct SamplingOptions {
  int64_t group_size = 1;
  int64_t max_new_tokens = 128;
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;
  bool greedy = false;
  bool ignore_eos = false;
  uint64_t seed = 0;
  int64_t step = 0;                    // part of the key of every random number
  int64_t max_batch_rows = 256;        // completions decoded at a time; results do not depend on it
  std::vector<int64_t> end_token_ids;  // any of them ends a completion and is kept
  std::vector<int64_t> masked_ids;     // never sampled, -inf in every log-prob
  int64_t weight_version = 0;
};

/// One prompt to complete.
struct SamplingRequest {
  const EncodedPrompt* prompt = nullptr;
  int64_t prompt_index = 0;
};

/// Samples a group per prompt: vision and prefill once per prompt, then all live completions of all
/// prompts decode together; finished ones leave. A completion is a function of (seed, step,
/// prompt_index, sample_index) and the weights. `progress(tokens)` is called after every decode
/// step; a requested stop ends with core::Interrupted.
std::vector<RolloutGroup> sample_groups(const model::Model& model,
                                        const std::vector<SamplingRequest>& requests,
                                        const SamplingOptions& options,
                                        const std::function<void(int64_t)>& progress = {});

/// Ids that must never be sampled: image and video placeholders and ids >= tokenizer_size.
std::vector<int64_t> sampling_mask(const model::ModelSpec& spec, int64_t tokenizer_size);

/// Log-probs and entropies of every loss token of a micro-batch: [M] f32 each, with gradient unless
/// under NoGradGuard.
struct Scores {
  at::Tensor logprobs;
  at::Tensor entropy;
};
Scores score(const model::Model& model,
             const TrainBatch& batch,
             const at::Tensor& masked_ids,
             double temperature);

}  // namespace sgrpo::rollout
