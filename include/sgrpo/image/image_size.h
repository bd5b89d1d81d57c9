// Width and height of a picture.
#pragma once

#include <cstdint>

namespace sgrpo::image {

/// Width and height in pixels, as a decoded image has them.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};

}  // namespace sgrpo::image
