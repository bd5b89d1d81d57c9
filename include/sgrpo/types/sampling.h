// What to sample, asked of a policy by value: nothing is read from a step, a batch or a
// configuration.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sgrpo/core/rng.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/sampling_options.h"

namespace sgrpo {

/// Samples `num_samples` completions of one prompt. A completion is a function of the request and
/// of the weights: member i is drawn with `key` under sample_index `first_index` + i.
struct SamplingRequest {
  std::shared_ptr<const EncodedPrompt> prompt = nullptr;
  int64_t num_samples = 1;
  int64_t first_index = 0;
  /// What every completion begins with: read and kept, not drawn, and none of max_new_tokens. What
  /// follows is drawn as behind the same tokens if they had been drawn.
  std::vector<int64_t> forced_ids = {};
  core::RandomKey key = {};  // seed, step, prompt_index; the sampler fills the rest
  SamplingOptions options = {};
};

/// Takes the group of request `request` when the last of its completions ended.
using GroupSink = std::function<void(size_t request, RolloutGroup&& group)>;

}  // namespace sgrpo
