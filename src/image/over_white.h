// Transparency as transformers takes it out: composited onto opaque white.
#pragma once

#include <cstdint>

namespace sgrpo::image {

/// One channel of an opaque white pixel under a source of alpha `a`: Pillow's AlphaComposite.c,
/// bit for bit (7 extra bits, then a rounded division by 255).
inline uint8_t over_white(uint32_t value, uint32_t a) {
  constexpr uint32_t kBits = 7;
  const uint32_t sum = ((value * a + 255 * (255 - a)) << kBits) + (0x80U << kBits);
  return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> kBits);
}

}  // namespace sgrpo::image
