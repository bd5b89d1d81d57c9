// A warp on the host: what kernels/common/warp.h describes, 32 lanes held in an array and reduced
// in the order of the device's butterfly. Runs the kernels' bodies without a GPU.
#pragma once

#include <array>

#include "kernels/common/warp.h"

namespace sgrpo::testing {

template <class T>
class HostWarp {
 public:
  using Value = std::array<T, kernels::kWarpLanes>;

  template <class Stored>
  Value load(const Stored* p, int64_t count, T fill) const {
    return map_lanes([=](int lane) { return lane < count ? static_cast<T>(p[lane]) : fill; });
  }
  void store(T* p, int64_t count, const Value& value) const {
    for (int lane = 0; lane < kernels::kWarpLanes && lane < count; ++lane)
      p[lane] = value[static_cast<size_t>(lane)];
  }
  template <class U>
  void store_one(U* p, U value) const {
    *p = value;
  }
  template <class F, class... Values>
  Value map(const F& f, const Values&... values) const {
    return map_lanes([&](int, const auto&... x) { return f(x...); }, values...);
  }
  template <class F, class... Values>
  Value map_lanes(const F& f, const Values&... values) const {
    Value result;
    for (int lane = 0; lane < kernels::kWarpLanes; ++lane)
      result[static_cast<size_t>(lane)] = f(lane, values[static_cast<size_t>(lane)]...);
    return result;
  }
  T sum(const Value& value) const {
    return butterfly(value, [](T a, T b) { return a + b; });
  }
  T largest(const Value& value) const {
    return butterfly(value, [](T a, T b) { return b > a ? b : a; });
  }

 private:
  template <class F>
  T butterfly(Value value, const F& f) const {
    for (size_t offset = kernels::kWarpLanes / 2; offset > 0; offset /= 2) {
      const Value before = value;
      for (size_t lane = 0; lane < kernels::kWarpLanes; ++lane)
        value[lane] = f(before[lane], before[lane ^ offset]);
    }
    return value[0];
  }
};

}  // namespace sgrpo::testing
