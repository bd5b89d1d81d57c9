#include <algorithm>
#include <numeric>

#include "sgrpo/data/sharing.h"

namespace sgrpo::data {

std::vector<int64_t> deal(const std::vector<double>& costs, int64_t ranks) {
  const auto count = static_cast<int64_t>(costs.size());
  std::vector<size_t> order(costs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return costs[a] > costs[b]; });
  std::vector<double> load(static_cast<size_t>(ranks), 0.0);
  std::vector<int64_t> held(static_cast<size_t>(ranks), 0);
  std::vector<int64_t> owners(costs.size());
  const int64_t most = (count + ranks - 1) / ranks;
  for (const size_t item : order) {
    size_t best = 0;
    for (size_t rank = 1; rank < load.size(); ++rank) {
      const bool has_room = held[rank] < most, best_has_room = held[best] < most;
      if (has_room != best_has_room ? has_room : load[rank] < load[best]) best = rank;
    }
    owners[item] = static_cast<int64_t>(best);
    load[best] += costs[item];
    ++held[best];
  }
  return owners;
}

}  // namespace sgrpo::data
