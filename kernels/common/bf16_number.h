// A bfloat16 number as it lies in memory, for host and device.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

/// The upper half of a float; the layout of c10::BFloat16.
struct Bf16 {
  uint16_t bits;

  SGRPO_HOST_DEVICE explicit operator float() const {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float x;
    memcpy(&x, &wide, sizeof(x));
    return x;
  }
  /// Rounds to the nearest, ties to even; NaN stays NaN.
  SGRPO_HOST_DEVICE static Bf16 nearest(float x) {
    uint32_t wide;
    memcpy(&wide, &x, sizeof(wide));
    wide = x == x ? wide + 0x7FFFu + ((wide >> 16) & 1u) : 0x7FC00000u;
    return {static_cast<uint16_t>(wide >> 16)};
  }
};

}  // namespace sgrpo::kernels
