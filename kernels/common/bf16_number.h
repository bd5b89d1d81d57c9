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
};

}  // namespace sgrpo::kernels
