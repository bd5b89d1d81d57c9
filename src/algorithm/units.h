// Which list item each token of a member belongs to.
#pragma once

#include <cstdint>
#include <vector>

#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// The item of `verdict.items` that a token's first byte lies in, -1 = none: line ends and the end
/// token have none. Empty where the verdict has no items or nobody knows where tokens end.
std::vector<int64_t> units_of(const GroupMember& member);

}  // namespace sgrpo::algorithm
