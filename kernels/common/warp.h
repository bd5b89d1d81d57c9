// A warp as the kernels' bodies see it: 32 lanes, one value each. Bodies are templates over the
// warp, so that a test can walk them lane by lane on the host.
//
// A warp type has `Value` (one T a lane) and:
//   load(p, count, fill)   lane i holds p[i] as a T, or `fill` from `count` on
//   store(p, count, v)     lanes below `count` write p[i]
//   store_one(p, x)        one lane writes
//   map(f, values...)      f of every lane's values
//   map_lanes(f, values...)  as map, with the lane's index first
//   sum(v), largest(v)     over the lanes, the same in every lane, in a fixed order
#pragma once

#include <cstdint>

#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

constexpr int kWarpLanes = 32;

#ifdef __CUDACC__

/// The calling warp; all 32 lanes must call together.
template <class T>
class DeviceWarp {
 public:
  using Value = T;

  __device__ DeviceWarp() : lane_(threadIdx.x % kWarpLanes) {}

  template <class Stored>
  __device__ T load(const Stored* p, int64_t count, T fill) const {
    return lane_ < count ? static_cast<T>(p[lane_]) : fill;
  }
  __device__ void store(T* p, int64_t count, T value) const {
    if (lane_ < count) p[lane_] = value;
  }
  template <class U>
  __device__ void store_one(U* p, U value) const {
    if (lane_ == 0) *p = value;
  }
  template <class F, class... Values>
  __device__ T map(const F& f, Values... values) const {
    return f(values...);
  }
  template <class F, class... Values>
  __device__ T map_lanes(const F& f, Values... values) const {
    return f(lane_, values...);
  }
  __device__ T sum(T value) const {
    for (int offset = kWarpLanes / 2; offset > 0; offset /= 2)
      value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
  }
  __device__ T largest(T value) const {
    for (int offset = kWarpLanes / 2; offset > 0; offset /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, value, offset);
      value = other > value ? other : value;
    }
    return value;
  }

 private:
  int lane_;
};

#endif

}  // namespace sgrpo::kernels
