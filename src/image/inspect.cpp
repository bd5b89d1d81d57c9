// Everything that a header can tell before a decoder is started.
#include "image/header.h"
#include "sgrpo/core/error.h"

namespace sgrpo::image {

using core::str;
using core::UserError;

ImageHeader read_checked_header(std::string_view bytes,
                                const std::string& where,
                                int64_t max_decoded_pixels) {
  const ImageHeader header = read_header(bytes, where);
  const std::string size = str(header.width, "x", header.height, " pixels");
  if (header.width <= 0 || header.height <= 0)
    throw UserError(str(where, ": is a damaged image of ", size));
  if (header.width > max_decoded_pixels / header.height) {
    throw UserError(str(where,
                        ": declares ",
                        size,
                        ", at most ",
                        max_decoded_pixels,
                        " are decoded; shrink the image"));
  }
  if (static_cast<double>(bytes.size()) < header.min_bytes) {
    throw UserError(str(
        where, ": is damaged: ", size, " cannot come from ", bytes.size(), " bytes; replace it"));
  }
  if (bytes.size() > size_t{1} << 30)
    throw UserError(str(where, ": has ", bytes.size(), " bytes, at most 1 GiB"));
  return header;
}

ImageSize upright_size(const ImageHeader& header) {
  const bool is_turned = header.orientation >= 5;
  return is_turned ? ImageSize{header.height, header.width}
                   : ImageSize{header.width, header.height};
}

}  // namespace sgrpo::image
