// When rewards count as different.
#pragma once

#include <cmath>

#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

/// Whether the lowest and the highest reward of a group differ by more than rounding (sums of
/// weighted rewards that should be equal differ by an ulp) and by more than `min_spread`.
SGRPO_HOST_DEVICE inline bool has_spread(double lowest, double highest, double min_spread) {
  const double rounding = 1e-12 * fmax(1.0, fabs(highest));
  return highest - lowest > fmax(min_spread, rounding);
}

}  // namespace sgrpo::kernels
