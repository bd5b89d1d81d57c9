// WebP: RIFF chunks VP8 (lossy), VP8L (lossless) or VP8X (extended, then EXIF, XMP, ALPH and the
// frame). Source: RFC 9649.
#include "image/header.h"

#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

using std::string_view_literals::operator""sv;

/// Lossy frame: 3 bytes tag, start code 9D 01 2A, two 14-bit sizes.
void read_vp8(const Bytes& file, uint64_t data, ImageHeader& header) {
  if (file.slice(data + 3, 3) != "\x9D\x01\x2A"sv) file.fail("is damaged: no WebP key frame");
  header.width = file.le16(data + 6) & 0x3FFF;
  header.height = file.le16(data + 8) & 0x3FFF;
}

/// Lossless frame: signature 2F, two 14-bit sizes minus one, the alpha hint.
void read_vp8l(const Bytes& file, uint64_t data, ImageHeader& header) {
  if (file.u8(data) != 0x2F) file.fail("is damaged: no lossless WebP signature");
  const uint32_t bits = file.le32(data + 1);
  header.width = (bits & 0x3FFF) + 1;
  header.height = (bits >> 14 & 0x3FFF) + 1;
  header.has_alpha = header.has_alpha || (bits >> 28 & 1) != 0;
}

void read_vp8x(const Bytes& file, uint64_t data, ImageHeader& header) {
  constexpr uint32_t kAnimation = 0x02, kAlpha = 0x10;
  const uint32_t flags = file.u8(data);
  if (flags & kAnimation) file.fail("is an animated WebP, expected a still image; save one frame");
  header.has_alpha = (flags & kAlpha) != 0;
}

}  // namespace

ImageHeader read_webp_header(const Bytes& file) {
  ImageHeader header{.container = Container::kWebp};
  const uint64_t end = uint64_t{file.le32(4)} + 8;
  file.need(0, end);
  bool has_frame = false;
  for (uint64_t at = 12; at + 8 <= end;) {
    const std::string_view name = file.slice(at, 4);
    const uint64_t length = file.le32(at + 4), data = at + 8;
    file.need(data, length);
    if (name == "VP8X") read_vp8x(file, data, header);
    if (name == "VP8 ") read_vp8(file, data, header);
    if (name == "VP8L") read_vp8l(file, data, header);
    has_frame = has_frame || name == "VP8 " || name == "VP8L";
    if (name == "EXIF") {
      header.exif = file.slice(data, length);
      if (core::starts_with(header.exif, "Exif\0\0"sv)) header.exif.remove_prefix(6);
    }
    if (name == "XMP ") header.xmp = file.slice(data, length);
    at = data + length + (length & 1);  // chunks are padded to even sizes
  }
  if (!has_frame) file.fail("is damaged: a WebP without image data");
  return header;
}

}  // namespace sgrpo::image
