#include "data/passed_over.h"

#include <algorithm>

#include "sgrpo/core/error.h"

namespace sgrpo::data {
namespace {

PassedOver::Stretch read_stretch(const core::Json& entry) {
  const bool is_pair = entry.is_array() && entry.size() == 2 && entry[0].is_number_integer() &&
                       entry[1].is_number_integer();
  if (is_pair && entry[0] >= 0 && entry[0] < entry[1])
    return {entry[0].get<int64_t>(), entry[1].get<int64_t>()};
  throw core::UserError("passed_over holds '" + core::dump_ascii(entry) +
                        "', expected [begin, end) of positions");
}

}  // namespace

PassedOver::PassedOver(const core::Json& list) {
  std::vector<Stretch> all;
  for (const core::Json& entry : list) all.push_back(read_stretch(entry));
  std::sort(all.begin(), all.end());
  for (const Stretch& next : all) {
    if (!gaps_.empty() && next.first <= gaps_.back().second) {
      gaps_.back().second = std::max(gaps_.back().second, next.second);
    } else {
      gaps_.push_back(next);
    }
  }
}

std::vector<PassedOver::Stretch> PassedOver::stretches(int64_t first, int64_t count) const {
  std::vector<Stretch> result;
  int64_t position = first, left = count;
  for (const auto& [begin, end] : gaps_) {
    if (end <= position) continue;
    if (left <= begin - position) break;
    if (begin > position) {
      result.emplace_back(position, begin);
      left -= begin - position;
    }
    position = end;
  }
  if (left > 0) result.emplace_back(position, position + left);
  return result;
}

int64_t PassedOver::behind(int64_t first, int64_t count) const {
  return count > 0 ? stretches(first, count).back().second : first;
}

int64_t PassedOver::taken(int64_t first, int64_t end) const {
  int64_t count = end - first;
  for (const auto& [from, to] : gaps_)
    count -= std::max<int64_t>(0, std::min(end, to) - std::max(first, from));
  return count;
}

core::Json PassedOver::to_json() const {
  core::Json list = core::Json::array();
  for (const auto& [begin, end] : gaps_) list.push_back({begin, end});
  return list;
}

}  // namespace sgrpo::data
