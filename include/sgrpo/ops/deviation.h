// What the centred rewards of a group are divided by.
#pragma once

#include <array>

namespace sgrpo::ops {

/// The group's deviation with divisor G-1 or G, or no division.
enum class Deviation { kSample, kPopulation, kNone };
constexpr auto names_of(Deviation) { return std::array{"sample", "population", "none"}; }

}  // namespace sgrpo::ops
