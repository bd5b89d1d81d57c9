#include "image/patch_writer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sgrpo::image {
namespace {

constexpr int64_t kStep = 16;  // pixels of a row that the vector code takes at once

#if defined(__x86_64__)
bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}
#else
bool has_avx2() { return false; }
#endif

}  // namespace

PatchWriter::PatchWriter(const ProcessorConfig& config)
    : patch_(config.patch_size),
      frames_(config.temporal_patch_size),
      is_vectorised_(has_avx2() && config.patch_size <= kStep) {
  const auto scale = static_cast<float>(1.0 / config.rescale_factor);
  for (size_t c = 0; c < 3; ++c) {
    mean_[c] = static_cast<float>(config.mean[c]) * scale;
    std_[c] = static_cast<float>(config.std[c]) * scale;
    for (size_t x = 0; x < 256; ++x) values_[c][x] = (static_cast<float>(x) - mean_[c]) / std_[c];
  }
}

void PatchWriter::write(const uint8_t* corner,
                        size_t pitch,
                        const uint8_t* end,
                        float* target) const {
  for (int64_t y = 0; y < patch_; ++y, corner += pitch, target += patch_) {
    if (is_vectorised_ && end - corner >= 3 * kStep) {
      write_row_avx2(corner, target);
    } else {
      write_row(corner, target);
    }
  }
}

/// One row of pixels into all channels and frames.
void PatchWriter::write_row(const uint8_t* row, float* target) const {
  const int64_t plane = patch_ * patch_;
  for (size_t c = 0; c < 3; ++c) {
    for (int64_t t = 0; t < frames_; ++t, target += plane) {
      for (int64_t x = 0; x < patch_; ++x)
        target[x] = values_[c][row[3 * x + static_cast<int64_t>(c)]];
    }
  }
}

#if defined(__x86_64__)

/// write_row for up to 16 pixels; reads 48 bytes, writes no more than the row. The divisions are
/// those of the table.
__attribute__((target("avx2"))) void PatchWriter::write_row_avx2(const uint8_t* row,
                                                                 float* target) const {
  // Which byte of three loads of 16 is the next sample of a channel; 0x80 gives zero.
  static constexpr auto kPick = [] {
    std::array<std::array<std::array<uint8_t, 16>, 3>, 3> pick{};
    for (size_t c = 0; c < 3; ++c) {
      for (size_t load = 0; load < 3; ++load) {
        for (size_t x = 0; x < 16; ++x) {
          const size_t at = 3 * x + c;
          pick[c][load][x] = at / 16 == load ? static_cast<uint8_t>(at % 16) : 0x80;
        }
      }
    }
    return pick;
  }();
  const auto load = [](const uint8_t* bytes) __attribute__((target("avx2"))) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  };
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const auto width = static_cast<int>(patch_);
  const __m256i low_mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(width), lanes);
  const __m256i high_mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(width - 8), lanes);
  const __m128i first = load(row), second = load(row + 16), third = load(row + 32);
  const int64_t plane = patch_ * patch_;
  for (size_t c = 0; c < 3; ++c) {
    const __m128i bytes =
        _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(first, load(kPick[c][0].data())),
                                  _mm_shuffle_epi8(second, load(kPick[c][1].data()))),
                     _mm_shuffle_epi8(third, load(kPick[c][2].data())));
    const __m256 mean = _mm256_set1_ps(mean_[c]), std = _mm256_set1_ps(std_[c]);
    const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
    const __m256 low_values = _mm256_div_ps(_mm256_sub_ps(low, mean), std);
    const __m256 high_values = _mm256_div_ps(_mm256_sub_ps(high, mean), std);
    for (int64_t t = 0; t < frames_; ++t, target += plane) {
      _mm256_maskstore_ps(target, low_mask, low_values);
      _mm256_maskstore_ps(target + 8, high_mask, high_values);
    }
  }
}

#else

void PatchWriter::write_row_avx2(const uint8_t* row, float* target) const {
  write_row(row, target);
}

#endif

}  // namespace sgrpo::image
