#include "sgrpo/types/memory.h"

#include <algorithm>
#include <cmath>

#include "sgrpo/core/check.h"

namespace sgrpo {
namespace {

/// Steps that whoever prepares a step may not see yet: the one that runs, and that one.
constexpr int64_t kAhead = 2;

Memory::Entry read_entry(const core::Json& entry, const std::string& where) {
  const bool is_pair =
      entry.is_array() && entry.size() == 2 && entry[0].is_number_integer() && entry[1].is_number();
  if (is_pair) return {entry[0].get<int64_t>(), entry[1].get<double>()};
  throw core::UserError(core::str(
      where, ": memory holds ", core::dump_ascii(entry), ", expected [step, mean reward]"));
}

}  // namespace

void Memory::note(const std::string& prompt_id, int64_t step, double reward) {
  if (window_ == 0) return;
  SGRPO_CHECK(std::isfinite(reward), "prompt ", prompt_id, ": mean reward is ", reward);
  std::deque<Entry>& entries = entries_[prompt_id];
  SGRPO_CHECK(entries.empty() || entries.back().step <= step, "memory goes back to step ", step);
  entries.push_back({step, reward});
  // What a reader of the step that runs may still ask for stays.
  const auto seen = std::count_if(entries.begin(), entries.end(), [step](const Entry& entry) {
    return entry.step <= step + 1 - kAhead;
  });
  for (int64_t i = window_; i < seen; ++i) entries.pop_front();
}

std::vector<Memory::Entry> Memory::rewards(const std::string& prompt_id, int64_t last_step) const {
  std::vector<Entry> result;
  const auto found = entries_.find(prompt_id);
  if (found == entries_.end()) return result;
  for (const Entry& entry : found->second)
    if (entry.step <= last_step) result.push_back(entry);
  const auto surplus = static_cast<int64_t>(result.size()) - window_;
  if (surplus > 0) result.erase(result.begin(), result.begin() + surplus);
  return result;
}

core::Json Memory::to_json() const {
  core::Json json = core::Json::array();
  for (const auto& [id, entries] : entries_) {
    core::Json list = core::Json::array();
    for (const Entry& entry : entries)
      list.push_back(core::Json::array({entry.step, entry.reward}));
    json.push_back(core::Json::array({id, std::move(list)}));
  }
  return json;
}

void Memory::restore(const core::Json& json, const std::string& where) {
  entries_.clear();
  if (window_ == 0) return;
  for (const core::Json& item : json) {
    const bool is_pair =
        item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_array();
    if (!is_pair)
      throw core::UserError(core::str(
          where, ": memory holds ", core::dump_ascii(item), ", expected [prompt id, entries]"));
    for (const core::Json& entry : item[1])
      entries_[item[0].get<std::string>()].push_back(read_entry(entry, where));
  }
}

}  // namespace sgrpo
