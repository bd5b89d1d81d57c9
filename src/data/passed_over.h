// Positions of a stream that no step takes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::data {

class PassedOver {
 public:
  using Stretch = std::pair<int64_t, int64_t>;  // [begin, end)

  PassedOver() = default;
  /// Of a list of [begin, end) in any order; those that touch become one. Throws core::UserError
  /// for anything else.
  explicit PassedOver(const core::Json& list);

  /// The next `count` positions from `first` on that are not passed over.
  std::vector<Stretch> stretches(int64_t first, int64_t count) const;
  /// The position behind them.
  int64_t behind(int64_t first, int64_t count) const;
  /// How many of the positions [first, end) are not passed over.
  int64_t taken(int64_t first, int64_t end) const;
  core::Json to_json() const;

 private:
  std::vector<Stretch> gaps_;  // ascending, apart from each other
};

}  // namespace sgrpo::data
