// Groups -> packed micro-batches of prompt tries.
#pragma once

#include <cstdint>
#include <vector>

#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/train_batch.h"

namespace sgrpo::algorithm {

/// How groups are packed.
struct PackingOptions {
  int64_t micro_batch_tokens =
      8192;                  // a group larger than the budget gets a micro-batch of its own
  bool share_prefix = true;  // false: every completion carries its own copy of the prompt
  /// Leaves out groups whose members all have advantage 0: without KL and entropy terms they have
  /// no gradient. They still count in the denominators; metrics then cover the packed groups only.
  bool skip_zero_advantage = false;
};

/// Packs whole groups in order, as many as fit the budget (counted in input tokens). Members with
/// an invalid verdict, and groups without a valid member, are left out. Empty if nothing remains.
///
/// Token order: prompt of group 0, its completions without their last token, prompt of group 1, ...
/// The first token of a completion is predicted by the prompt's last row, the others by the rows of
/// the tokens before them. A completion of one token has no rows and no segment. Positions of a
/// completion go on from the prompt's next_position().
///
/// Denominators of all micro-batches are set to the sums over `groups`: num_loss_tokens_global
/// counts every token of every valid member, num_sequences_global every valid member, groups
/// without spread ("dead") and skipped ones included. `group_of_sequence` indexes `groups`.
/// Throws: core::ContractError for an empty completion or mismatched log-probs
std::vector<TrainBatch> pack_groups(const std::vector<const RolloutGroup*>& groups,
                                    const PackingOptions& options);

}  // namespace sgrpo::algorithm
