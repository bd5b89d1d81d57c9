// Source: PyTorch, aten/src/ATen/native/cpu/UpSampleKernel.cpp (HelperInterpCubic and
// compute_index_ranges_int16_weights), itself after Pillow-SIMD's Resample.c.
#include "image/resize.h"

#include <algorithm>
#include <cmath>

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
  taps.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
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

/// [H, W, 3] -> [H, width, 3].
RgbImage resize_columns(const RgbImage& image, int64_t width) {
  const Taps taps = make_taps(image.width, width);
  const int32_t half = 1 << (taps.precision - 1);
  RgbImage result{.width = width, .height = image.height, .rgb = {}};
  result.rgb.resize(static_cast<size_t>(image.height * width * 3));
  uint8_t* target = result.rgb.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* line = image.rgb.data() + y * image.width * 3;
    for (int64_t x = 0; x < width; ++x) {
      const auto [begin, size] = taps.spans[static_cast<size_t>(x)];
      const int16_t* weights = taps.weights.data() + x * taps.stride;
      const uint8_t* source = line + begin * 3;
      int32_t red = half, green = half, blue = half;
      for (int64_t j = 0; j < size; ++j, source += 3) {
        red += source[0] * weights[j];
        green += source[1] * weights[j];
        blue += source[2] * weights[j];
      }
      *target++ = clip(red, taps.precision);
      *target++ = clip(green, taps.precision);
      *target++ = clip(blue, taps.precision);
    }
  }
  return result;
}

/// [H, W, 3] -> [height, W, 3].
RgbImage resize_rows(const RgbImage& image, int64_t height) {
  const Taps taps = make_taps(image.height, height);
  const auto samples = static_cast<size_t>(image.width * 3);
  RgbImage result{.width = image.width, .height = height, .rgb = {}};
  result.rgb.resize(static_cast<size_t>(height) * samples);
  std::vector<int32_t> sums(samples);
  for (int64_t y = 0; y < height; ++y) {
    const auto [begin, size] = taps.spans[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), 1 << (taps.precision - 1));
    for (int64_t j = 0; j < size; ++j) {
      const int32_t weight = taps.weights[static_cast<size_t>(y * taps.stride + j)];
      const uint8_t* source = image.rgb.data() + static_cast<size_t>(begin + j) * samples;
      for (size_t i = 0; i < samples; ++i) sums[i] += source[i] * weight;
    }
    uint8_t* target = result.rgb.data() + static_cast<size_t>(y) * samples;
    for (size_t i = 0; i < samples; ++i) target[i] = clip(sums[i], taps.precision);
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
