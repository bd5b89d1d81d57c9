// Round numbers for axes.
#pragma once

#include <string>
#include <vector>

namespace sgrpo::telemetry::report {

/// A range that begins and ends at round numbers.
struct Axis {
  double low = 0.0, high = 1.0;
  std::vector<double> ticks;
  std::vector<std::string> labels;
};

/// The smallest round range around [low, high] with about `count` intervals. Zero is taken in if it
/// is near. `whole` allows integers only (steps).
Axis round_axis(double low, double high, int count, bool whole = false);

/// Ticks at round numbers inside [low, high], which stays as it is.
Axis fitted_axis(double low, double high, int count);

}  // namespace sgrpo::telemetry::report
