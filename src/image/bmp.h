// Windows bitmap: what its headers say, and its pixels.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "image/bytes.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {

enum class BmpCompression : uint32_t { kPlain = 0, kRunLength8 = 1, kRunLength4 = 2, kMasks = 3 };

/// Where things are in a bitmap and what they mean; everything is checked but the pixels' content.
struct BmpLayout {
  int64_t width = 0;
  int64_t height = 0;
  bool is_top_down = false;
  uint32_t bits = 0;  // a pixel: 1, 4, 8 (palette), 16, 24, 32
  BmpCompression compression = BmpCompression::kPlain;
  std::array<uint32_t, 4> masks = {};  // red, green, blue, alpha; 16 and 32 bits only
  uint64_t palette = 0;                // offset of its first entry
  uint64_t palette_entry = 4;          // bytes an entry: blue, green, red and perhaps padding
  uint64_t colors = 0;                 // palette entries in the file
  uint64_t pixels = 0;                 // offset

  bool is_run_length() const {
    return compression == BmpCompression::kRunLength8 || compression == BmpCompression::kRunLength4;
  }
  /// Bytes of a stored row: a multiple of four.
  uint64_t row_bytes() const { return (static_cast<uint64_t>(width) * bits + 31) / 32 * 4; }
};

/// Throws core::UserError "<where>: ..." for damage and for layouts that Pillow does not read
/// either.
BmpLayout read_bmp_layout(const Bytes& file);

/// The pixels as Pillow reads them, transparency composited onto white.
RgbImage decode_bmp(std::string_view bytes, const std::string& where);

}  // namespace sgrpo::image
