// WebP: RIFF chunks VP8 (lossy), VP8L (lossless) or VP8X (extended, then EXIF, XMP, ALPH and the
// frame, or ANMF chunks with frames inside). Source: RFC 9649.
#include "image/header.h"
#include "image/orientation.h"

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

/// Calls `use(name, data offset, length)` for every chunk in [begin, end).
template <class Use>
void for_each_chunk(const Bytes& file, uint64_t begin, uint64_t end, Use use) {
  for (uint64_t at = begin; at + 8 <= end;) {
    const std::string_view name = file.slice(at, 4);
    const uint64_t length = file.le32(at + 4), data = at + 8;
    file.need(data, length);
    use(name, data, length);
    at = data + length + (length & 1);  // chunks are padded to even sizes
  }
}

/// Frame offsets are in units of two pixels, sizes are minus one; 16 bytes, then the chunks.
WebpFrame read_frame(const Bytes& file, uint64_t data, uint64_t length) {
  constexpr uint64_t kHead = 16;
  if (length < kHead) file.fail("is damaged: a WebP frame of ", length, " bytes");
  WebpFrame frame{.x = int64_t{file.le24(data)} * 2,
                  .y = int64_t{file.le24(data + 3)} * 2,
                  .width = int64_t{file.le24(data + 6)} + 1,
                  .height = int64_t{file.le24(data + 9)} + 1};
  frame.chunks = file.slice(data + kHead, length - kHead);
  ImageHeader own;
  for_each_chunk(file, data + kHead, data + length, [&](std::string_view name, uint64_t at, auto) {
    if (name == "ALPH") own.has_alpha = true;
    if (name == "VP8 ") read_vp8(file, at, own);
    if (name == "VP8L") read_vp8l(file, at, own);
  });
  if (own.width != frame.width || own.height != frame.height)
    file.fail("is damaged: a WebP frame whose image has another size");
  frame.has_alpha = own.has_alpha;
  return frame;
}

/// Flags, then the size of the canvas minus one.
void read_vp8x(const Bytes& file, uint64_t data, ImageHeader& header, bool& is_animated) {
  constexpr uint32_t kAnimation = 0x02, kAlpha = 0x10;
  const uint32_t flags = file.u8(data);
  is_animated = (flags & kAnimation) != 0;
  header.has_alpha = (flags & kAlpha) != 0;
  header.width = int64_t{file.le24(data + 4)} + 1;
  header.height = int64_t{file.le24(data + 7)} + 1;
}

}  // namespace

ImageHeader read_webp_header(const Bytes& file) {
  ImageHeader header{.container = Container::kWebp};
  const uint64_t end = uint64_t{file.le32(4)} + 8;
  file.need(0, end);
  bool has_image = false, is_animated = false;
  std::string_view exif, xmp;
  for_each_chunk(file, 12, end, [&](std::string_view name, uint64_t data, uint64_t length) {
    if (name == "VP8X") read_vp8x(file, data, header, is_animated);
    if (name == "ANMF" && is_animated && !header.frame) {
      header.frame = read_frame(file, data, length);
      const WebpFrame& frame = *header.frame;
      if (frame.x + frame.width > header.width || frame.y + frame.height > header.height)
        file.fail("is damaged: a WebP frame beyond its canvas");
    }
    if (name == "VP8 ") read_vp8(file, data, header);
    if (name == "VP8L") read_vp8l(file, data, header);
    has_image = has_image || name == "VP8 " || name == "VP8L";
    if (name == "EXIF") exif = file.slice(data, length);
    if (name == "XMP ") xmp = file.slice(data, length);
  });
  if (is_animated ? !header.frame : !has_image) file.fail("is damaged: a WebP without image data");
  header.orientation = find_orientation(exif, xmp);
  return header;
}

}  // namespace sgrpo::image
