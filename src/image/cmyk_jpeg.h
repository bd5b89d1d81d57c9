// JPEGs of four components, which OpenCV turns into RGB by a formula of its own.
#pragma once

#include <string>
#include <string_view>

#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Decodes a CMYK or YCCK JPEG and converts it as Pillow does: samples are taken as inverted
/// (Adobe's convention), R = (255 - K) - C (255 - K) / 255 with a rounded division. Throws
/// core::UserError "<where>: ..." for damage.
RgbImage decode_cmyk_jpeg(std::string_view bytes, const std::string& where);

}  // namespace sgrpo::image
