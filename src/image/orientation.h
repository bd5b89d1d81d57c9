// Which way up a picture is stored.
#pragma once

#include <string_view>

namespace sgrpo::image {

/// EXIF orientation 1..8 as Pillow finds it: the tag of a TIFF structure (its "Exif" prefix may
/// still stand before it), else the attribute of an XMP packet, else 1. Either may be empty.
int find_orientation(std::string_view exif, std::string_view xmp);

}  // namespace sgrpo::image
