// An image file opened and checked before a pixel is decoded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "sgrpo/image/image_size.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// A file's bytes and what its header says: size and tokens are known cheaply, pixels on demand.
/// Decoding holds its working memory against a limit shared by all threads of the process, so that
/// many large images are decoded one after the other.
class ImageFile {
 public:
  /// Reads the file, or takes the bytes that the row holds: JPEG, PNG, WebP or BMP by their magic
  /// bytes. Container, completeness, dimensions and orientation are checked, damage inside the
  /// compressed data is not seen. Throws core::UserError "<name>: ..." for what is empty,
  /// truncated, unknown or oversized.
  explicit ImageFile(const ImageSource& source);
  ~ImageFile();
  ImageFile(ImageFile&&) noexcept;
  ImageFile& operator=(ImageFile&&) noexcept;

  /// As a decoded image has it.
  ImageSize size() const;
  /// Image tokens after the resize. Throws core::UserError "<path>: ..." for an aspect ratio above
  /// 200.
  int64_t num_tokens(const ProcessorConfig& config) const;
  /// Upright, on white where it was transparent, RGB as Pillow makes it of gray, palettes, 16 bits
  /// and CMYK. Throws core::UserError "<path>: ..." for damage behind the header.
  RgbImage decode() const;
  /// Decoded, resized, normalised, cut into patches.
  PixelPatches patches(const ProcessorConfig& config) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace sgrpo::image
