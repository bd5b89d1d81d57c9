// Source: PyTorch, aten/src/ATen/native/cpu/UpSampleKernel.cpp (HelperInterpCubic and
// compute_index_ranges_int16_weights), itself after Pillow-SIMD's Resample.c.
#include "image/resize.h"

#include "image/allocate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sgrpo::image {
namespace {

/// For every output position the input span and its weights, in units of 2^-precision.
struct Taps {
  struct Span {
    int64_t begin = 0;
    int64_t size = 0;
  };
  std::vector<Span> spans;
  std::vector<int16_t> weights;  // span i has its weights at i * stride
  int64_t stride = 0;
  int precision = 0;
};

/// Keys' cubic with a = -1/2, as Pillow.
double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  if (x < 2.0) return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA;
  return 0.0;
}

/// Rounds real weights to 16 bits with as many fraction bits as the largest one leaves room for.
void quantise(const std::vector<double>& weights, Taps& taps) {
  constexpr int kMaxPrecision = 22;
  const double largest = *std::max_element(weights.begin(), weights.end());
  const auto fits = [&](int bits) {
    return static_cast<int>(0.5 + largest * (1 << bits)) < 1 << 15;
  };
  while (taps.precision < kMaxPrecision && fits(taps.precision + 1)) ++taps.precision;
  for (const double weight : weights) {
    const double scaled = weight * (1 << taps.precision);
    taps.weights.push_back(static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
}

Taps make_taps(int64_t input, int64_t output) {
  const double scale = static_cast<double>(input) / static_cast<double>(output);
  const double stretch = std::max(scale, 1.0);  // when shrinking, the filter grows
  const double support = 2.0 * stretch;
  Taps taps;
  // Rounded up with zeros: the vector code takes four weights at a time.
  taps.stride = (static_cast<int64_t>(std::ceil(support)) * 2 + 1 + 3) / 4 * 4;
  std::vector<double> weights(static_cast<size_t>(output * taps.stride), 0.0);
  for (int64_t i = 0; i < output; ++i) {
    const double center = scale * (static_cast<double>(i) + 0.5);
    const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t end = std::min(static_cast<int64_t>(center + support + 0.5), input);
    double* row = weights.data() + i * taps.stride;
    double total = 0.0;
    for (int64_t j = begin; j < end; ++j) {
      row[j - begin] = cubic((static_cast<double>(j) - center + 0.5) * (1.0 / stretch));
      total += row[j - begin];
    }
    for (int64_t j = 0; j < end - begin; ++j) row[j] /= total;
    taps.spans.push_back({begin, end - begin});
  }
  quantise(weights, taps);
  return taps;
}

uint8_t clip(int32_t sum, int precision) {
  return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255));
}

using Span = Taps::Span;

/// One output pixel: `weights` over neighbouring pixels.
void blend_pixel(
    const uint8_t* source, const int16_t* weights, Span span, int precision, uint8_t* target) {
  const int32_t half = 1 << (precision - 1);
  int32_t red = half, green = half, blue = half;
  for (int64_t j = 0; j < span.size; ++j, source += 3) {
    red += source[0] * weights[j];
    green += source[1] * weights[j];
    blue += source[2] * weights[j];
  }
  target[0] = clip(red, precision);
  target[1] = clip(green, precision);
  target[2] = clip(blue, precision);
}

/// Samples [begin, end) of one output row: `weights` over rows that lie `pitch` bytes apart.
struct RowBlend {
  const uint8_t* source;
  size_t pitch;
  const int16_t* weights;
  int64_t size;
  int precision;
  uint8_t* target;
};

void blend_samples(const RowBlend& row, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    int32_t sum = 1 << (row.precision - 1);
    for (int64_t j = 0; j < row.size; ++j)
      sum += row.source[static_cast<size_t>(j) * row.pitch + i] * row.weights[j];
    row.target[i] = clip(sum, row.precision);
  }
}

/// A line of output pixels, each from its span of the input line.
struct ColumnBlend {
  const uint8_t* source;      // the line's first pixel
  const uint8_t* source_end;  // of the whole image
  uint8_t* target;
  const uint8_t* target_end;  // of the whole image
  const Taps& taps;
};

#if defined(__x86_64__)

// Products of 8-bit samples and 16-bit weights are added in pairs as 32-bit integers, which is
// exact: the order of additions does not matter, results are those of the plain code.

/// Sums of one output pixel (red, green, blue, unused), rounded but not yet shifted. Two neighbours
/// at a time: their samples side by side as pairs of 16-bit integers. Reads 16 bytes for every 12.
__attribute__((target("avx2"))) inline __m128i sum_pixel(const uint8_t* source,
                                                         const int16_t* weights,
                                                         int64_t size,
                                                         __m128i half) {
  const __m128i first = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const __m128i second = _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  __m128i sum = half;
  for (int64_t j = 0; j < size; j += 4) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + 3 * j));
    std::array<int32_t, 2> pairs{};
    std::memcpy(pairs.data(), weights + j, sizeof(pairs));
    const __m128i low = _mm_madd_epi16(_mm_shuffle_epi8(bytes, first), _mm_set1_epi32(pairs[0]));
    const __m128i high = _mm_madd_epi16(_mm_shuffle_epi8(bytes, second), _mm_set1_epi32(pairs[1]));
    sum = _mm_add_epi32(sum, _mm_add_epi32(low, high));
  }
  return sum;
}

/// blend_pixel over a line, four pixels at a time, whose 12 bytes are written as 16: the last
/// pixels of an image are left to the plain code. Returns how many pixels are done.
__attribute__((target("avx2"))) size_t blend_line_avx2(const ColumnBlend& line) {
  constexpr size_t kPixels = 4;
  const __m128i half = _mm_set1_epi32(1 << (line.taps.precision - 1));
  const __m128i shift = _mm_cvtsi32_si128(line.taps.precision);
  const __m128i tight = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const int16_t* weights = line.taps.weights.data();
  uint8_t* target = line.target;
  size_t x = 0;
  for (; x + kPixels <= line.taps.spans.size(); x += kPixels, target += 3 * kPixels) {
    const Span last = line.taps.spans[x + kPixels - 1];
    const int64_t needed = last.begin * 3 + line.taps.stride * 3 + 4;
    if (line.source_end - line.source < needed || line.target_end - target < 16) break;
    __m128i sums[kPixels];
    for (size_t i = 0; i < kPixels; ++i, weights += line.taps.stride) {
      const Span span = line.taps.spans[x + i];
      const __m128i sum = sum_pixel(line.source + span.begin * 3, weights, span.size, half);
      sums[i] = _mm_sra_epi32(sum, shift);
    }
    const __m128i bytes =
        _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm_shuffle_epi8(bytes, tight));
  }
  return x;
}

/// blend_samples for the first multiple of 16 samples, two rows at a time; returns how many.
__attribute__((target("avx2"))) size_t blend_samples_avx2(const RowBlend& row, size_t samples) {
  constexpr size_t kBlock = 16;
  const __m128i shift = _mm_cvtsi32_si128(row.precision);
  size_t i = 0;
  for (; i + kBlock <= samples; i += kBlock) {
    __m256i low = _mm256_set1_epi32(1 << (row.precision - 1)), high = low;
    for (int64_t j = 0; j < row.size; j += 2) {
      const bool is_last = j + 1 == row.size;
      const uint8_t* upper = row.source + static_cast<size_t>(j) * row.pitch + i;
      const uint8_t* lower = is_last ? upper : upper + row.pitch;
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(upper));
      const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(lower));
      const uint32_t second = is_last ? 0 : static_cast<uint16_t>(row.weights[j + 1]);
      const __m256i factors = _mm256_set1_epi32(
          static_cast<int32_t>(second << 16 | static_cast<uint16_t>(row.weights[j])));
      const __m256i first_half = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
      const __m256i second_half = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(first_half, factors));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(second_half, factors));
    }
    const __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift)), 0xD8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row.target + i), bytes);
  }
  return i;
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}

#else

size_t blend_line_avx2(const ColumnBlend&) { return 0; }
size_t blend_samples_avx2(const RowBlend&, size_t) { return 0; }
bool has_avx2() { return false; }

#endif

RgbImage make_image(int64_t height, int64_t width) {
  RgbImage image{.width = width, .height = height, .rgb = {}};
  allocate(image);
  return image;
}

/// [H, W, 3] -> [H, width, 3].
RgbImage resize_columns(const RgbImage& image, int64_t width) {
  const Taps taps = make_taps(image.width, width);
  RgbImage result = make_image(image.height, width);
  for (int64_t y = 0; y < image.height; ++y) {
    const ColumnBlend line{.source = image.rgb.data() + y * image.width * 3,
                           .source_end = image.rgb.data() + image.rgb.size(),
                           .target = result.rgb.data() + y * width * 3,
                           .target_end = result.rgb.data() + result.rgb.size(),
                           .taps = taps};
    for (size_t x = has_avx2() ? blend_line_avx2(line) : 0; x < taps.spans.size(); ++x) {
      const Span span = taps.spans[x];
      blend_pixel(line.source + span.begin * 3,
                  taps.weights.data() + x * static_cast<size_t>(taps.stride),
                  span,
                  taps.precision,
                  line.target + 3 * x);
    }
  }
  return result;
}

/// [H, W, 3] -> [height, W, 3].
RgbImage resize_rows(const RgbImage& image, int64_t height) {
  const Taps taps = make_taps(image.height, height);
  const auto samples = static_cast<size_t>(image.width * 3);
  RgbImage result = make_image(height, image.width);
  for (int64_t y = 0; y < height; ++y) {
    const Span span = taps.spans[static_cast<size_t>(y)];
    const RowBlend row{.source = image.rgb.data() + static_cast<size_t>(span.begin) * samples,
                       .pitch = samples,
                       .weights = taps.weights.data() + y * taps.stride,
                       .size = span.size,
                       .precision = taps.precision,
                       .target = result.rgb.data() + static_cast<size_t>(y) * samples};
    blend_samples(row, has_avx2() ? blend_samples_avx2(row, samples) : 0, samples);
  }
  return result;
}

}  // namespace

RgbImage resize_bicubic(const RgbImage& image, int64_t height, int64_t width) {
  // A side that keeps its length is not filtered at all.
  if (width == image.width) return height == image.height ? image : resize_rows(image, height);
  RgbImage result = resize_columns(image, width);
  return height == image.height ? result : resize_rows(result, height);
}

}  // namespace sgrpo::image
