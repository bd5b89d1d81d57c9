// What a teacher thinks of a member's tokens.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// Whether a teacher's opinion changes the member: it was sampled and judged.
bool is_taught(const GroupMember& member);

/// log P_teacher - log p of each token [L], p being the rollout policy. Throws core::ContractError
/// for a member that is not scored by both.
std::vector<double> teacher_gaps(const GroupMember& member, const std::string& teacher);

}  // namespace sgrpo::algorithm
