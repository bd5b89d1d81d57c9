// Large buffers that are filled once: touched page by page, the kernel's work on first use costs
// more than the pixels do.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Asks for the pages behind [begin, begin + bytes) in one call before they are written. A hint:
/// kernels before 5.14 do not know it, and nothing depends on its success.
inline void prefault(void* begin, size_t bytes) {
  constexpr uintptr_t kPage = 4096;
  constexpr size_t kWorthwhile = size_t{1} << 18;
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which older C libraries do not name
  if (bytes < kWorthwhile) return;
  const auto first = (reinterpret_cast<uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<uintptr_t>(begin) + bytes) / kPage * kPage;
  madvise(reinterpret_cast<void*>(first), end - first, kPopulateWrite);
}

/// Gives an image its bytes by its width and height.
inline void allocate(RgbImage& image, int64_t bytes_per_pixel = 3) {
  const auto bytes = static_cast<size_t>(image.width * image.height * bytes_per_pixel);
  image.rgb.reserve(bytes);
  prefault(image.rgb.data(), bytes);
  image.rgb.resize(bytes);
}

}  // namespace sgrpo::image
