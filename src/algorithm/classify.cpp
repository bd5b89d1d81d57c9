#include "sgrpo/algorithm/injection.h"

namespace sgrpo::algorithm {
namespace {

struct Counts {
  int64_t valid = 0;
  int64_t correct = 0;

  void add(const GroupMember& member) {
    if (member.completion.origin != Origin::kSampled || !member.verdict.is_valid()) return;
    ++valid;
    correct += member.verdict.status == VerdictStatus::kCorrect;
  }
};

}  // namespace

std::vector<RolloutGroup> classify(std::vector<RolloutGroup> groups) {
  for (RolloutGroup& group : groups) {
    Counts counts;
    for (const GroupMember& member : group.members) counts.add(member);
    // A victim was sampled too: classifying an injected group again gives the same kind.
    if (group.replaced) counts.add(*group.replaced);
    group.has_valid_members = counts.valid > 0;
    if (counts.correct == 0) {
      group.kind = GroupKind::kAllFail;
    } else {
      group.kind = counts.correct == counts.valid ? GroupKind::kAllPass : GroupKind::kMixed;
    }
  }
  return groups;
}

}  // namespace sgrpo::algorithm
