// One group's advantages: the single body behind the CPU loop and the CUDA kernel.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/host_device.h"
#include "kernels/group_advantage/group_advantage.h"
#include "kernels/group_advantage/spread.h"

namespace sgrpo::kernels {

/// (r - mean) / (s + eps) over the valid members of `group`; zeros when they do not differ.
///
/// Sums run over deviations from the first valid reward in member order, so a common offset costs
/// no digits and CPU and CUDA agree bit for bit (the one product is an explicit fma: nvcc would
/// otherwise contract it and g++ would not).
SGRPO_HOST_DEVICE inline void group_advantage_body(const GroupAdvantageParams& params,
                                                   int64_t group) {
  const int64_t begin = group * params.group_size;
  const int64_t end = begin + params.group_size;
  int64_t count = 0;
  double pivot = 0.0, offset_sum = 0.0, lowest = 0.0, highest = 0.0;
  for (int64_t i = begin; i < end; ++i) {
    if (!params.valid[i]) continue;
    if (count == 0) pivot = lowest = highest = params.rewards[i];
    lowest = fmin(lowest, params.rewards[i]);
    highest = fmax(highest, params.rewards[i]);
    offset_sum += params.rewards[i] - pivot;
    ++count;
  }
  const double offset_mean = count > 0 ? offset_sum / static_cast<double>(count) : 0.0;

  const bool differ = has_spread(lowest, highest, params.min_spread);
  double divisor = 1.0;
  if (differ && params.std != GroupStd::kNone) {
    double squares = 0.0;
    for (int64_t i = begin; i < end; ++i) {
      if (!params.valid[i]) continue;
      const double centred = params.rewards[i] - pivot - offset_mean;
      squares = fma(centred, centred, squares);
    }
    const int64_t freedom = params.std == GroupStd::kSample ? count - 1 : count;
    divisor = sqrt(squares / static_cast<double>(freedom)) + params.eps;
  }
  for (int64_t i = begin; i < end; ++i) {
    const bool counts = differ && params.valid[i];
    params.advantages[i] = counts ? (params.rewards[i] - pivot - offset_mean) / divisor : 0.0;
  }
}

}  // namespace sgrpo::kernels
