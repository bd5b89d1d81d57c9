// The pixels of a bitmap as Pillow reads them: OpenCV stretches 16-bit samples differently and
// knows fewer masks.
#include <algorithm>
#include <bit>
#include <vector>

#include "image/allocate.h"
#include "image/bmp.h"
#include "image/over_white.h"

namespace sgrpo::image {
namespace {

using Color = std::array<uint8_t, 3>;

/// 256 colours; what the file does not give is black.
std::array<Color, 256> read_palette(const Bytes& file, const BmpLayout& layout) {
  std::array<Color, 256> palette{};
  for (size_t i = 0; i < std::min<uint64_t>(layout.colors, 256); ++i) {
    const uint64_t at = layout.palette + i * layout.palette_entry;
    palette[i] = {file.u8(at + 2), file.u8(at + 1), file.u8(at)};
  }
  return palette;
}

/// Palette indices of a run-length bitmap in stored order. What the stream leaves out is 0; a run
/// does not go beyond its row.
class RunLength {
 public:
  RunLength(const Bytes& file, const BmpLayout& layout)
      : file_(file),
        at_(layout.pixels),
        is_4_bit_(layout.compression == BmpCompression::kRunLength4),
        width_(static_cast<size_t>(layout.width)),
        size_(width_ * static_cast<size_t>(layout.height)) {}

  std::vector<uint8_t> decode() {
    indices_.reserve(size_);
    bool goes_on = true;
    while (goes_on && indices_.size() < size_ && has(2)) {
      const uint8_t count = file_.u8(at_), value = file_.u8(at_ + 1);
      at_ += 2;
      if (count != 0) {
        add_run(count, value);
      } else if (value == 0) {
        end_row();
      } else if (value == 2) {
        goes_on = jump();
      } else {
        goes_on = value != 1 && add_literal(value);
      }
    }
    indices_.resize(size_);
    return std::move(indices_);
  }

 private:
  bool has(uint64_t count) const { return at_ + count <= file_.size(); }

  void add_run(size_t count, uint8_t value) {
    count = std::min(count, width_ - std::min(column_, width_));
    for (size_t i = 0; i < count; ++i) {
      const int shift = i % 2 == 0 ? 4 : 0;
      indices_.push_back(is_4_bit_ ? value >> shift & 0xF : value);
    }
    column_ += count;
  }

  void end_row() {
    indices_.resize((indices_.size() + width_ - 1) / width_ * width_);
    column_ = 0;
  }

  bool jump() {
    if (!has(2)) return false;
    const size_t distance = file_.u8(at_) + file_.u8(at_ + 1) * width_;
    at_ += 2;
    indices_.resize(std::min(size_, indices_.size() + distance));
    column_ = indices_.size() % width_;
    return true;
  }

  /// Indices as they are, padded to an even offset.
  bool add_literal(size_t declared) {
    const size_t count = std::min(declared, size_ - indices_.size());
    const size_t bytes = is_4_bit_ ? (count + 1) / 2 : count;
    if (!has(bytes)) return false;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t byte = file_.u8(at_ + (is_4_bit_ ? i / 2 : i));
      indices_.push_back(!is_4_bit_ ? byte : i % 2 == 0 ? byte >> 4 : byte & 0xF);
    }
    at_ += bytes;
    at_ += at_ % 2;
    column_ += declared;
    return true;
  }

  const Bytes& file_;
  uint64_t at_;
  bool is_4_bit_;
  size_t width_, size_;
  size_t column_ = 0;
  std::vector<uint8_t> indices_;
};

/// One colour sample under a mask, stretched to 0..255.
uint32_t sample(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const int shift = std::countr_zero(mask);
  const uint32_t largest = mask >> shift;
  return (pixel >> shift & largest) * 255 / largest;
}

void write_masked(uint32_t pixel, const std::array<uint32_t, 4>& masks, uint8_t* rgb) {
  const uint32_t alpha = masks[3] == 0 ? 255 : sample(pixel, masks[3]);
  for (size_t c = 0; c < 3; ++c) rgb[c] = over_white(sample(pixel, masks[c]), alpha);
}

/// Colours of a plain row of `layout.row_bytes()` bytes.
void write_row(std::string_view stored,
               const BmpLayout& layout,
               const std::array<Color, 256>& palette,
               uint8_t* rgb) {
  const auto* row = reinterpret_cast<const uint8_t*>(stored.data());
  const auto width = static_cast<uint64_t>(layout.width);
  const uint32_t bits = layout.bits;
  for (uint64_t x = 0; x < width; ++x, rgb += 3) {
    if (bits <= 8) {
      const auto shift = static_cast<uint32_t>(8 - bits - x * bits % 8);
      const uint32_t index = static_cast<uint32_t>(row[x * bits / 8]) >> shift & ((1U << bits) - 1);
      std::copy_n(palette[index].begin(), 3, rgb);
    } else if (bits == 24) {
      std::reverse_copy(row + 3 * x, row + 3 * x + 3, rgb);
    } else {
      uint32_t pixel = 0;  // little endian
      for (uint64_t i = bits / 8; i-- > 0;) pixel = pixel << 8 | row[x * bits / 8 + i];
      write_masked(pixel, layout.masks, rgb);
    }
  }
}

}  // namespace

RgbImage decode_bmp(std::string_view bytes, const std::string& where) {
  const Bytes file(bytes, where);
  const BmpLayout layout = read_bmp_layout(file);
  RgbImage image{.width = layout.width, .height = layout.height, .rgb = {}};
  allocate(image);
  std::array<Color, 256> palette{};
  if (layout.bits <= 8) palette = read_palette(file, layout);
  std::vector<uint8_t> indices;
  if (layout.is_run_length()) indices = RunLength(file, layout).decode();
  for (int64_t y = 0; y < image.height; ++y) {
    const int64_t stored = layout.is_top_down ? y : image.height - 1 - y;
    uint8_t* rgb = image.rgb.data() + 3 * y * image.width;
    if (layout.is_run_length()) {
      const uint8_t* row = indices.data() + stored * image.width;
      for (int64_t x = 0; x < image.width; ++x)
        std::copy_n(palette[row[x]].begin(), 3, rgb + 3 * x);
    } else {
      const uint64_t begin = layout.pixels + static_cast<uint64_t>(stored) * layout.row_bytes();
      write_row(file.slice(begin, layout.row_bytes()), layout, palette, rgb);
    }
  }
  return image;
}

}  // namespace sgrpo::image
