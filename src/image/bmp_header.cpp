// Windows bitmap: the file header, then one of the info headers (12 bytes: OS/2; 40 to 124:
// Windows), bit masks, palette.
#include <algorithm>
#include <cmath>

#include "image/bmp.h"
#include "image/header.h"

namespace sgrpo::image {
namespace {

constexpr std::array kInfoSizes = {12U, 40U, 52U, 56U, 64U, 108U, 124U};

using Masks = std::array<uint32_t, 4>;

/// The masks that Pillow knows; without masks, 32 bits are blue, green, red, unused.
constexpr std::array<Masks, 8> kMasks32 = {{{0xFF0000, 0xFF00, 0xFF, 0},
                                            {0xFF000000, 0xFF0000, 0xFF00, 0},
                                            {0xFF000000, 0xFF00, 0xFF, 0},
                                            {0xFF000000, 0xFF0000, 0xFF00, 0xFF},
                                            {0xFF, 0xFF00, 0xFF0000, 0xFF000000},
                                            {0xFF0000, 0xFF00, 0xFF, 0xFF000000},
                                            {0xFF000000, 0xFF00, 0xFF, 0xFF0000},
                                            {0, 0, 0, 0}}};
constexpr Masks kBgr24 = {0xFF0000, 0xFF00, 0xFF, 0}, kBgr555 = {0x7C00, 0x3E0, 0x1F, 0},
                kBgr565 = {0xF800, 0x7E0, 0x1F, 0}, kBgra = {0xFF0000, 0xFF00, 0xFF, 0xFF000000};

/// Masks stand in the info header from 52 bytes on (alpha from 56 on), else behind it.
void read_masks(const Bytes& file, uint32_t info_size, BmpLayout& layout) {
  Masks masks{};
  const size_t count = info_size >= 56 ? 4 : 3;
  for (size_t i = 0; i < count; ++i) masks[i] = file.le32(54 + 4 * i);
  if (layout.bits != 32) masks[3] = 0;
  const bool is_known =
      layout.bits == 32   ? std::find(kMasks32.begin(), kMasks32.end(), masks) != kMasks32.end()
      : layout.bits == 24 ? masks == kBgr24
                          : layout.bits == 16 && (masks == kBgr555 || masks == kBgr565);
  if (!is_known) file.fail("is a BMP with an unusual bit layout; save it as PNG");
  layout.masks = masks == Masks{} ? kBgra : masks;
  if (info_size == 40) layout.palette += 12;
}

void read_os2_info(const Bytes& file, BmpLayout& layout) {
  layout.width = file.le16(18);
  layout.height = file.le16(20);
  layout.bits = file.le16(24);
  layout.palette_entry = 3;
}

void read_windows_info(const Bytes& file, BmpLayout& layout) {
  layout.width = static_cast<int32_t>(file.le32(18));
  const int64_t height = static_cast<int32_t>(file.le32(22));
  layout.is_top_down = height < 0;
  layout.height = std::abs(height);
  layout.bits = file.le16(28);
  const uint32_t compression = file.le32(30);
  if (compression > 3) file.fail("is a BMP with compression ", compression, "; save it as PNG");
  layout.compression = static_cast<BmpCompression>(compression);
  layout.colors = file.le32(46);
}

void check_depth(const Bytes& file, const BmpLayout& layout) {
  const uint32_t bits = layout.bits;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    file.fail(
        "is a BMP with ", bits, " bits a pixel, expected 1, 4, 8, 16, 24 or 32; save it as PNG");
  }
  if (layout.is_run_length() && bits > 8)
    file.fail("is damaged: a run-length BMP with ", bits, " bits a pixel, expected a palette");
  if (layout.width <= 0) file.fail("is damaged: BMP width ", layout.width);
}

}  // namespace

BmpLayout read_bmp_layout(const Bytes& file) {
  BmpLayout layout;
  const uint32_t info_size = file.le32(14);
  if (std::find(kInfoSizes.begin(), kInfoSizes.end(), info_size) == kInfoSizes.end())
    file.fail("is damaged: BMP header of ", info_size, " bytes");
  info_size == 12 ? read_os2_info(file, layout) : read_windows_info(file, layout);
  layout.palette = 14 + info_size;
  check_depth(file, layout);
  if (layout.compression == BmpCompression::kMasks) {
    read_masks(file, info_size, layout);
  } else if (layout.bits == 16 || layout.bits == 32) {
    layout.masks = layout.bits == 16 ? kBgr555 : kBgr24;
  }
  layout.pixels = file.le32(10);
  if (layout.bits <= 8) {
    if (layout.colors == 0) layout.colors = uint64_t{1} << layout.bits;
    if (layout.colors > 65536)
      file.fail("is damaged: a BMP palette of ", layout.colors, " colours");
    file.need(layout.palette, layout.palette_entry * layout.colors);
    // Some writers let the pixels begin where the palette does.
    if (layout.pixels == 14 + uint64_t{info_size})
      layout.pixels += layout.palette_entry * layout.colors;
  }
  if (layout.pixels == 0) layout.pixels = layout.palette + layout.palette_entry * layout.colors;
  return layout;
}

ImageHeader read_bmp_header(const Bytes& file) {
  const BmpLayout layout = read_bmp_layout(file);
  ImageHeader header{.container = Container::kBmp, .width = layout.width, .height = layout.height};
  header.has_alpha = layout.masks[3] != 0;
  if (layout.is_run_length()) {
    file.need(0, file.le32(2));
    file.need(layout.pixels, file.le32(34));
    // Two bytes fill at most 255 pixels; writers do not jump over more than they fill.
    header.min_bytes =
        static_cast<double>(layout.width) * static_cast<double>(layout.height) * 2 / 255;
  } else {
    file.need(layout.pixels, layout.row_bytes() * static_cast<uint64_t>(layout.height));
  }
  return header;
}

}  // namespace sgrpo::image
