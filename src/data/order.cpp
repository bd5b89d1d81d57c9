#include "data/order.h"

#include <algorithm>
#include <numeric>

#include "sgrpo/core/check.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::data {

StreamOrder::StreamOrder(uint64_t seed,
                         bool shuffle,
                         std::vector<StreamList> lists,
                         std::function<int64_t(int64_t)> step_of)
    : seed_(seed),
      shuffle_(shuffle),
      lists_(std::move(lists)),
      step_of_(std::move(step_of)),
      has_limits_(std::any_of(
          lists_.begin(), lists_.end(), [](const StreamList& list) { return list.has_limits(); })),
      cursor_{.position = 0, .drawn = std::vector<int64_t>(lists_.size(), 0)},
      base_(cursor_),
      last_(cursor_),
      current_(lists_.size()) {
  SGRPO_CHECK(!has_limits_ || step_of_, "lists with limits need the steps of positions");
  if (!has_limits_) use_lists_of(1);
}

bool StreamOrder::is_active(int64_t step) const {
  return std::any_of(lists_.begin(), lists_.end(), [step](const StreamList& list) {
    return list.is_active(step);
  });
}

/// The weights of the lists that are active at `step`.
void StreamOrder::use_lists_of(int64_t step) {
  std::vector<bool> is_active;
  for (const StreamList& list : lists_) is_active.push_back(list.is_active(step));
  if (is_active == is_active_) return;
  SGRPO_CHECK(this->is_active(step), "no list is active at step ", step);
  upper_.clear();
  double total = 0.0;
  for (size_t i = 0; i < lists_.size(); ++i)
    upper_.push_back(total += is_active[i] ? lists_[i].weight : 0.0);
  for (double& bound : upper_) bound /= total;
  is_active_ = std::move(is_active);
}

size_t StreamOrder::draw_list(int64_t position) {
  if (lists_.size() == 1) return 0;
  if (has_limits_) use_lists_of(step_of_(position));
  const core::RandomKey key{.seed = seed_,
                            .prompt_index = static_cast<uint64_t>(position),
                            .purpose = core::Purpose::kMixture};
  const auto found = std::upper_bound(upper_.begin(), upper_.end() - 1, key.uniform());
  return static_cast<size_t>(found - upper_.begin());
}

void StreamOrder::seek(int64_t position) {
  if (lists_.size() == 1) {
    cursor_.drawn[0] = cursor_.position = position;
    return;
  }
  if (position < cursor_.position) cursor_ = last_.position <= position ? last_ : base_;
  SGRPO_CHECK(position >= cursor_.position, "position ", position, " is before the first");
  for (; cursor_.position < position; ++cursor_.position)
    ++cursor_.drawn[draw_list(cursor_.position)];
}

std::vector<int64_t> StreamOrder::drawn(int64_t position) {
  seek(position);
  return cursor_.drawn;
}

void StreamOrder::begin_at(int64_t position, std::vector<int64_t> drawn) {
  SGRPO_CHECK(drawn.size() == lists_.size(), drawn.size(), " counts for ", lists_.size(), " lists");
  base_ = last_ = cursor_ = {.position = position, .drawn = std::move(drawn)};
}

std::shared_ptr<const std::vector<int64_t>> StreamOrder::order_of(size_t list, int64_t epoch) {
  Epoch& current = current_[list];
  if (current.number != epoch && (shuffle_ || !current.order)) {
    std::vector<int64_t> order(static_cast<size_t>(lists_[list].rows));
    std::iota(order.begin(), order.end(), int64_t{0});
    if (shuffle_) {
      order = core::permutation(lists_[list].rows,
                                core::RandomKey{.seed = seed_,
                                                .step = static_cast<uint64_t>(epoch),
                                                .prompt_index = list,
                                                .purpose = core::Purpose::kShuffle});
    }
    current = {epoch, std::make_shared<const std::vector<int64_t>>(std::move(order))};
  }
  return current.order;
}

std::vector<StreamSlot> StreamOrder::slots(int64_t first, int64_t count) {
  seek(first);
  last_ = cursor_;
  std::vector<StreamSlot> result;
  for (; cursor_.position < first + count; ++cursor_.position) {
    const size_t list = draw_list(cursor_.position);
    const int64_t drawn = cursor_.drawn[list]++;
    result.push_back({.list = list,
                      .index = drawn % lists_[list].rows,
                      .order = order_of(list, drawn / lists_[list].rows)});
  }
  return result;
}

}  // namespace sgrpo::data
