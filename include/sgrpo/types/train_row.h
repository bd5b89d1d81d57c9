// What a policy scores and learns from: one prompt, the tokens behind it, and the decisions among
// them.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "sgrpo/types/encoded_prompt.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo {

/// One predicted token. NaN = not given.
struct Decision {
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

  int64_t reads = 0;    // index into prompt + own ids of the token whose hidden state predicts
  int64_t label = 0;    // the predicted id, given and never derived from the next one
  float weight = 1.0f;  // any sign; 0: not in the loss
  float advantage = 0.0f;
  float old_logprob = kNone;  // none: the current one, detached
  float ref_logprob = kNone;
  float sampler_logprob = kNone;
  int64_t unit = -1;  // list item that the token belongs to; -1 = none
};

/// A row of a batch. Rows that hold the same `prompt` pointer share one copy of it.
struct TrainRow {
  std::shared_ptr<const EncodedPrompt> prompt;
  std::vector<int64_t> own_ids;  // read behind the prompt: a completion without its last token
  std::vector<Decision> decisions;
  int64_t group = -1;  // rows of one group share a number; -1 = alone
  Origin origin = Origin::kSampled;
};

/// The row of one completion: every token is a decision, read at the token before it.
/// Throws core::ContractError for an empty completion.
TrainRow completion_row(std::shared_ptr<const EncodedPrompt> prompt,
                        const std::vector<int64_t>& completion_ids);

}  // namespace sgrpo
