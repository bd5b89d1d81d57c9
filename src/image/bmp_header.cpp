// Windows bitmap: the file header, then one of the info headers. Plain, palette and run-length
// bitmaps; bit fields only in the two layouts that are 8 bits a channel in BGR order.
#include "image/header.h"

namespace sgrpo::image {
namespace {

constexpr uint32_t kPlain = 0, kRunLength8 = 1, kRunLength4 = 2, kBitFields = 3;

void check_bit_fields(const Bytes& file, uint32_t info_size, ImageHeader& header) {
  const uint32_t alpha = info_size >= 56 ? file.le32(66) : 0;
  const bool is_bgr = file.le32(54) == 0xFF0000U && file.le32(58) == 0xFF00U &&
                      file.le32(62) == 0xFFU && (alpha == 0 || alpha == 0xFF000000U);
  if (!is_bgr || file.le16(28) != 32)
    file.fail("is a BMP with an unusual bit layout; save it as PNG");
  header.has_alpha = alpha != 0;
}

}  // namespace

ImageHeader read_bmp_header(const Bytes& file) {
  ImageHeader header{.container = Container::kBmp};
  const uint64_t declared = file.le32(2), pixels = file.le32(10);
  const uint32_t info_size = file.le32(14);
  uint32_t bits = 0, compression = kPlain;
  if (info_size == 12) {
    header.width = file.le16(18);
    header.height = file.le16(20);
    bits = file.le16(24);
  } else if (info_size >= 40 && info_size <= 124) {
    header.width = static_cast<int32_t>(file.le32(18));
    const int64_t height = static_cast<int32_t>(file.le32(22));
    header.height = height < 0 ? -height : height;  // negative: top row first
    bits = file.le16(28);
    compression = file.le32(30);
  } else {
    file.fail("is damaged: BMP header of ", info_size, " bytes");
  }
  if (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32)
    file.fail("is a BMP with ", bits, " bits a pixel, expected 1, 4, 8, 24 or 32; save it as PNG");
  if (compression == kBitFields) check_bit_fields(file, info_size, header);
  if (compression > kBitFields)
    file.fail("is a BMP with compression ", compression, "; save it as PNG");
  if (header.width <= 0) file.fail("is damaged: BMP width ", header.width);
  if (compression == kRunLength8 || compression == kRunLength4) {
    file.need(0, declared);
    file.need(pixels, file.le32(34));
  } else {
    const uint64_t row = (static_cast<uint64_t>(header.width) * bits + 31) / 32 * 4;
    file.need(pixels, row * static_cast<uint64_t>(header.height));
  }
  return header;
}

}  // namespace sgrpo::image
