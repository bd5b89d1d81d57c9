// What a file says about itself, read by us before any decoder sees it: container, size,
// completeness, orientation, kind of transparency. Free of OpenCV and torch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/bytes.h"
#include "sgrpo/image/image_size.h"

namespace sgrpo::image {

enum class Container { kJpeg, kPng, kWebp, kBmp };

/// JPEG, PNG, WebP or BMP.
std::string_view to_string(Container container);

/// The first frame of an animated WebP: its place on the canvas and its own chunks.
struct WebpFrame {
  int64_t x = 0;
  int64_t y = 0;
  int64_t width = 0;
  int64_t height = 0;
  bool has_alpha = false;
  std::string_view chunks = {};  // ALPH, VP8, VP8L
};

/// The facts that decide how a file is decoded.
struct ImageHeader {
  Container container = Container::kPng;
  int64_t width = 0;
  int64_t height = 0;
  double min_bytes = 0;    // fewer bytes than this cannot hold so many pixels
  bool has_alpha = false;  // the decoder delivers an alpha channel
  bool is_gray16 = false;  // 16 bits a pixel, one channel
  bool is_cmyk = false;    // a JPEG of four components
  std::optional<std::array<int, 3>> color_key = {};  // this RGB colour is transparent (PNG tRNS)
  std::optional<WebpFrame> frame = {};               // of an animation
  std::vector<std::string_view> png_chunks = {};     // that decide pixels; empty = all of them do
  int orientation = 1;                               // 1..8, as EXIF counts
};

/// Recognises the container by its magic bytes, reads the header and checks that the file is
/// complete. Throws core::UserError "<where>: ..." for empty, foreign, truncated or damaged files.
ImageHeader read_header(std::string_view bytes, const std::string& where);

/// What a decoder may hold for the file, in bytes.
int64_t decoding_bytes(const ImageHeader& header);

/// The same, and refuses what must not reach a decoder: no area, more pixels than allowed, more
/// pixels than the bytes can hold, memory out of proportion to them, more than 1 GiB.
ImageHeader read_checked_header(std::string_view bytes,
                                const std::string& where,
                                int64_t max_decoded_pixels);

// One container each; the magic bytes are already checked.
ImageHeader read_jpeg_header(const Bytes& file);
ImageHeader read_png_header(const Bytes& file);
ImageHeader read_webp_header(const Bytes& file);
ImageHeader read_bmp_header(const Bytes& file);

/// The size after the orientation is applied.
ImageSize upright_size(const ImageHeader& header);

}  // namespace sgrpo::image
