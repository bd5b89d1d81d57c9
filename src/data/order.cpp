#include "data/order.h"

#include <algorithm>
#include <numeric>

#include "sgrpo/core/rng.h"

namespace sgrpo::data {

StreamOrder::StreamOrder(uint64_t seed,
                         bool shuffle,
                         std::vector<int64_t> sizes,
                         const std::vector<double>& weights)
    : seed_(seed),
      shuffle_(shuffle),
      sizes_(std::move(sizes)),
      upper_(weights.size()),
      taken_(sizes_.size(), 0),
      current_(sizes_.size()) {
  std::partial_sum(weights.begin(), weights.end(), upper_.begin());
  const double total = upper_.back();
  for (double& bound : upper_) bound /= total;
}

size_t StreamOrder::draw_list(int64_t position) const {
  if (upper_.size() == 1) return 0;
  const core::RandomKey key{.seed = seed_,
                            .prompt_index = static_cast<uint64_t>(position),
                            .purpose = core::Purpose::kMixture};
  const auto found = std::upper_bound(upper_.begin(), upper_.end() - 1, key.uniform());
  return static_cast<size_t>(found - upper_.begin());
}

void StreamOrder::seek(int64_t position) {
  if (position < position_) {
    std::fill(taken_.begin(), taken_.end(), 0);
    position_ = 0;
  }
  if (taken_.size() == 1) {
    taken_[0] = position_ = position;
    return;
  }
  for (; position_ < position; ++position_) ++taken_[draw_list(position_)];
}

std::shared_ptr<const std::vector<int64_t>> StreamOrder::order_of(size_t list, int64_t epoch) {
  Epoch& current = current_[list];
  if (current.number != epoch && (shuffle_ || !current.order)) {
    std::vector<int64_t> order(static_cast<size_t>(sizes_[list]));
    std::iota(order.begin(), order.end(), int64_t{0});
    if (shuffle_) {
      order = core::permutation(sizes_[list],
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
  std::vector<StreamSlot> result;
  for (; position_ < first + count; ++position_) {
    const size_t list = draw_list(position_);
    const int64_t drawn = taken_[list]++;
    result.push_back({.list = list,
                      .index = drawn % sizes_[list],
                      .order = order_of(list, drawn / sizes_[list])});
  }
  return result;
}

}  // namespace sgrpo::data
