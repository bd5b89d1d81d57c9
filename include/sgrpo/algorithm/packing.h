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
};

/// Packs whole groups in order, as many as fit the budget. Token order: prompt of group 0, its
/// completions without their last token, prompt of group 1, ... The first token of a completion is
/// predicted by the prompt's last row. Members with an invalid verdict are left out. Denominators
/// are set over all micro-batches returned.
std::vector<TrainBatch> pack_groups(const std::vector<const RolloutGroup*>& groups,
                                    const PackingOptions& options);

}  // namespace sgrpo::algorithm
