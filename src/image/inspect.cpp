// Everything that a header can tell before a decoder is started.
#include "image/header.h"
#include "sgrpo/core/error.h"

namespace sgrpo::image {

using core::str;
using core::UserError;

namespace {

/// What any file may cost, and each of its bytes besides: a flat picture of a size that nobody
/// feeds a model must not take gigabytes because a few bytes ask for it.
constexpr int64_t kFreeBytes = int64_t{32} << 20;
constexpr int64_t kBytesPerFileByte = int64_t{512} << 10;

void check_cost(std::string_view bytes, const ImageHeader& header, const std::string& where) {
  const int64_t cost = decoding_bytes(header);
  if ((cost - kFreeBytes) / kBytesPerFileByte <= static_cast<int64_t>(bytes.size())) return;
  throw UserError(str(where,
                      ": declares ",
                      header.width,
                      "x",
                      header.height,
                      " pixels in ",
                      bytes.size(),
                      " bytes: decoding would take ",
                      cost >> 20,
                      " MiB for a picture without content; shrink or replace it"));
}

}  // namespace

int64_t decoding_bytes(const ImageHeader& header) {
  // The worst case a pixel: four 16-bit samples of the decoder beside three bytes of RGB.
  constexpr int64_t kBytesPerPixel = 4 * 2 + 3;
  return header.width * header.height * kBytesPerPixel;
}

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
  check_cost(bytes, header, where);
  return header;
}

ImageSize upright_size(const ImageHeader& header) {
  const bool is_turned = header.orientation >= 5;
  return is_turned ? ImageSize{header.height, header.width}
                   : ImageSize{header.width, header.height};
}

}  // namespace sgrpo::image
