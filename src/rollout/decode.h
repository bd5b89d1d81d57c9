// The state of one batch of completions while it is being decoded.
#pragma once

#include <vector>

#include "sgrpo/rollout/rollout.h"

namespace sgrpo::rollout {

/// Prompts of one batch, packed for prefill.
struct PrefillBatch {
  model::PackedTokens input;
  at::Tensor last_rows;               // [P] i64: row of each prompt's last token
  std::vector<int64_t> prompt_begin;  // [P+1] slots of each prompt in the cache
};

/// Packs prompts behind each other; slots equal token rows.
PrefillBatch pack_prompts(const std::vector<SamplingRequest>& requests);

/// One completion being decoded.
struct Row {
  int64_t prompt = 0;         // index into the batch's requests
  int64_t sample_index = 0;   // inside its group
  int64_t first_slot = 0;     // of its own keys and values
  int64_t next_position = 0;  // of its first token
  Completion completion;
  bool is_live = true;
};

/// What every live row sees in its next step, for the plan of decode steps: its prompt and its own
/// tokens.
std::vector<ops::DecodePlan::Row> visible_slots(const std::vector<Row*>& live,
                                                const PrefillBatch& prefill);

/// Inputs of one decode step: the last token of every live row.
struct StepInput {
  model::PackedTokens input;
  at::Tensor slots;  // [B]
};
StepInput pack_step(const std::vector<Row*>& live, const ops::AttentionPlan& plan);

}  // namespace sgrpo::rollout
