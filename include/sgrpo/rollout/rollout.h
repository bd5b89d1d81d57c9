// Prompts -> groups of completions, with log-probs under the sampling policy. Tokens only, no
// gradients.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "sgrpo/model/model.h"
#include "sgrpo/types/sampling.h"

namespace sgrpo::rollout {

/// Ids that must never be sampled: image and video placeholders and ids >= tokenizer_size.
std::vector<int64_t> sampling_mask(const model::ModelSpec& spec, int64_t tokenizer_size);

/// How many of a completion's tokens stay, the last of them being the one that completes a stop
/// text of the request; nothing if none does.
using FindStop = std::function<std::optional<int64_t>(const SamplingRequest& request,
                                                      const std::vector<int64_t>& token_ids)>;

/// What all requests of a call share.
struct DecodeOptions {
  std::vector<int64_t> masked_ids;  // of requests with sampling_mask: -inf in every log-prob
  int64_t max_batch_rows = 256;     // completions decoded at a time
  /// Asked of requests with stop texts, between chunks of tokens and when a completion ends.
  FindStop find_stop = nullptr;
};

/// Samples a group per request: vision and prefill once per prompt, then all live completions of as
/// many requests as `max_batch_rows` allow decode together; finished ones leave. `finished` takes a
/// group when its last completion ends; texts are not filled. A requested stop ends with
/// core::Interrupted. Throws core::ContractError for options out of range, core::RunError for
/// logits that are no numbers.
void sample(const model::Model& model,
            const std::vector<SamplingRequest>& requests,
            const DecodeOptions& options,
            const GroupSink& finished);

}  // namespace sgrpo::rollout
