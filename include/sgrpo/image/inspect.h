// An image file -> its size, without decoding a pixel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sgrpo::image {

/// Width and height in pixels, as a decoded image has them.
struct ImageSize {
  int64_t width = 0;
  int64_t height = 0;
};

/// What decode_image would deliver, read from the header: container, completeness, dimensions and
/// EXIF orientation. Damage inside the compressed data goes unnoticed. Throws core::UserError
/// "<where>: ..." as decode_image does.
ImageSize inspect_image(std::string_view bytes,
                        const std::string& where,
                        int64_t max_decoded_pixels = int64_t{1} << 28);

}  // namespace sgrpo::image
