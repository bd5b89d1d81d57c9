// Bytes of one patch -> its normalised values, the inner loop of preprocessing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sgrpo/image/processor.h"

namespace sgrpo::image {

/// Normalises as transformers' fused rescale-and-normalise does, in the same order and precision
/// (f32): (x - mean / f) / (std / f) with f the rescale factor.
class PatchWriter {
 public:
  explicit PatchWriter(const ProcessorConfig& config);

  /// Writes config.patch_dim() values: channels x temporal x patch x patch, the single frame
  /// repeated. `corner` is the patch's first pixel, its rows lie `pitch` bytes apart, and bytes up
  /// to `end` may be read.
  void write(const uint8_t* corner, size_t pitch, const uint8_t* end, float* target) const;

 private:
  void write_row(const uint8_t* row, float* target) const;
  void write_row_avx2(const uint8_t* row, float* target) const;

  int64_t patch_, frames_;
  bool is_vectorised_;  // a row of pixels fits one step
  std::array<float, 3> mean_{}, std_{};
  std::array<std::array<float, 256>, 3> values_{};  // of every byte, per channel
};

}  // namespace sgrpo::image
