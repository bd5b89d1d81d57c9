// The step between a checked header and pixels.
#pragma once

#include <string>
#include <string_view>

#include "image/header.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Decodes a file whose header passed read_checked_header; upright, opaque, RGB.
RgbImage decode_checked(std::string_view bytes,
                        const ImageHeader& header,
                        const std::string& where);

}  // namespace sgrpo::image
