#include "algorithm/units.h"

namespace sgrpo::algorithm {

std::vector<int64_t> units_of(const GroupMember& member) {
  const std::vector<int64_t>& ends = member.completion.token_ends;
  const std::vector<VerdictItem>& items = member.verdict.items;
  if (items.empty() || ends.size() != member.completion.token_ids.size()) return {};
  std::vector<int64_t> units(ends.size(), -1);
  for (size_t t = 0; t < ends.size(); ++t) {
    const int64_t begin = t == 0 ? 0 : ends[t - 1];
    for (size_t k = 0; k < items.size(); ++k) {
      const TextSpan& span = items[k].span;
      if (span.begin <= begin && begin < span.end) units[t] = static_cast<int64_t>(k);
    }
  }
  return units;
}

}  // namespace sgrpo::algorithm
