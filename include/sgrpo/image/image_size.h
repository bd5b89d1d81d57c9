// Width and height of a picture, and how many pixels one may have.
#pragma once

#include <cstdint>

namespace sgrpo::image {

/// More are neither decoded nor made by a resize: Pillow's limit, too.
constexpr int64_t kMaxDecodedPixels = 178'956'970;

/// Width and height in pixels, as a decoded image has them.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};

}  // namespace sgrpo::image
