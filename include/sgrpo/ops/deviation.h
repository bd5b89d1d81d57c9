// How the rewards of a group become advantages.
#pragma once

#include <array>

namespace sgrpo::ops {

/// What centred rewards are divided by: the group's deviation with divisor G-1 or G, or no
/// division.
enum class Deviation { kSample, kPopulation, kNone };
constexpr auto names_of(Deviation) { return std::array{"sample", "population", "none"}; }

/// How rewards become advantages: (r - mean) / (s + eps), or r - mean for kNone. Rewards without
/// spread give zeros.
struct GroupFormula {
  Deviation std = Deviation::kSample;
  double eps = 0.0;
  double min_spread = 0.0;
};

}  // namespace sgrpo::ops
