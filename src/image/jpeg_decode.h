// JPEGs go straight to TurboJPEG: its RGB is Pillow's byte for byte, and OpenCV would turn four
// components into RGB by a formula of its own.
#pragma once

#include <string>
#include <string_view>

#include "image/header.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Decodes a JPEG whose header was read. Four components are converted as Pillow does: samples are
/// taken as inverted (Adobe's convention), R = (255 - K) - C (255 - K) / 255 with a rounded
/// division. Throws core::UserError "<where>: ..." for damage.
RgbImage decode_jpeg(std::string_view bytes, const ImageHeader& header, const std::string& where);

}  // namespace sgrpo::image
