// Antialiased bicubic resize on bytes, free of torch: loader threads run it, and a parallel
// operator there would start an OpenMP team per thread.
#pragma once

#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Bit for bit at::_upsample_bicubic2d_aa on a uint8 tensor (align_corners false): weights in
/// 16-bit fixed point, columns first, then rows, rounded and clipped to bytes in between.
RgbImage resize_bicubic(const RgbImage& image, int64_t height, int64_t width);

}  // namespace sgrpo::image
