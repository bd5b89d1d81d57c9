// The threads that share a row of numbers: a warp, of which a block holds several, or a block.
#pragma once

#include <cstdint>

#include "kernels/common/launch.h"
#include "kernels/common/warp.h"

namespace sgrpo::kernels {

/// kThreads: 32, or a multiple that is the whole block. All threads of a team call together.
template <int kThreads>
struct Team {
  static constexpr bool kIsWarp = kThreads == kWarpLanes;
  static constexpr int kBlockThreads = kIsWarp ? 4 * kWarpLanes : kThreads;
  static constexpr int kTeams = kBlockThreads / kThreads;  // of a block

  /// Of all teams of the launch.
  __device__ static int64_t index() {
    return static_cast<int64_t>(blockIdx.x) * kTeams + threadIdx.x / kThreads;
  }
  __device__ static int thread() { return static_cast<int>(threadIdx.x % kThreads); }

  /// The sum over the team, in a fixed order and the same in every thread.
  __device__ static float sum(float value) {
    const DeviceWarp<float> warp;
    value = warp.sum(value);
    if constexpr (!kIsWarp) {
      SGRPO_SHARED(float, partial, kThreads / kWarpLanes);
      __syncthreads();  // whoever still reads the sums before these
      warp.store_one(partial + threadIdx.x / kWarpLanes, value);
      __syncthreads();
      value = 0.0f;
      for (int i = 0; i < kThreads / kWarpLanes; ++i) value += partial[i];
    }
    return value;
  }
};

}  // namespace sgrpo::kernels
