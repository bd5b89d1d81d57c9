// Pixels -> patches, as transformers' Qwen2VLImageProcessor (torchvision backend) computes them.
#include "sgrpo/image/processor.h"

#include <ATen/ATen.h>

#include <cmath>

#include "image/allocate.h"
#include "image/patch_writer.h"
#include "image/resize.h"
#include "sgrpo/core/error.h"

namespace sgrpo::image {
namespace {

/// Python's round(a / b) for positive integers: halves go to the even neighbour.
int64_t round_ratio(int64_t a, int64_t b) {
  return std::llrint(static_cast<double>(a) / static_cast<double>(b));
}

int64_t scaled(double length, int64_t factor, double (*round)(double)) {
  return static_cast<int64_t>(round(length / static_cast<double>(factor))) * factor;
}

RgbImage resize_for(const RgbImage& image, const ProcessorConfig& config) {
  const auto [height, width] = target_size({.width = image.width, .height = image.height}, config);
  return resize_bicubic(image, height, width);
}

}  // namespace

std::array<int64_t, 2> smart_resize(
    int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels) {
  constexpr int64_t kMaxAspect = 200;
  const int64_t longest = std::max(height, width), shortest = std::min(height, width);
  if (shortest < 1 || longest > kMaxAspect * shortest) {
    throw core::UserError(core::str("image of ",
                                    width,
                                    "x",
                                    height,
                                    " pixels has an aspect ratio above ",
                                    kMaxAspect,
                                    "; crop it or remove the row"));
  }
  int64_t new_height = round_ratio(height, factor) * factor;
  int64_t new_width = round_ratio(width, factor) * factor;
  const auto area = static_cast<double>(height * width);
  const auto h = static_cast<double>(height), w = static_cast<double>(width);
  if (new_height * new_width > max_pixels) {
    const double beta = std::sqrt(area / static_cast<double>(max_pixels));
    new_height = std::max(factor, scaled(h / beta, factor, std::floor));
    new_width = std::max(factor, scaled(w / beta, factor, std::floor));
  } else if (new_height * new_width < min_pixels) {
    const double beta = std::sqrt(static_cast<double>(min_pixels) / area);
    new_height = scaled(h * beta, factor, std::ceil);
    new_width = scaled(w * beta, factor, std::ceil);
  }
  return {new_height, new_width};
}

ProcessorConfig with_limits(ProcessorConfig config, const ImageLimits& limits) {
  if (limits.min_pixels) config.min_pixels = *limits.min_pixels;
  if (limits.max_pixels) config.max_pixels = *limits.max_pixels;
  if (limits.resized_height && limits.resized_width)
    config.resized = {*limits.resized_height, *limits.resized_width};
  return config;
}

std::array<int64_t, 2> target_size(const ImageSize& size, const ProcessorConfig& config) {
  const int64_t factor = config.patch_size * config.merge_size;
  if (!config.resized) {
    if (config.min_pixels > kMaxDecodedPixels) {
      throw core::UserError(core::str("min_pixels is ",
                                      config.min_pixels,
                                      ": no picture is enlarged to more than ",
                                      kMaxDecodedPixels,
                                      " pixels; lower it"));
    }
    return smart_resize(size.height, size.width, factor, config.min_pixels, config.max_pixels);
  }
  constexpr int64_t kLeastTokens = 4, kMostTokens = 16384;  // of qwen-vl-utils
  return smart_resize((*config.resized)[0],
                      (*config.resized)[1],
                      factor,
                      kLeastTokens * factor * factor,
                      kMostTokens * factor * factor);
}

int64_t num_tokens_of(const ImageSize& size, const ProcessorConfig& config) {
  const auto [height, width] = target_size(size, config);
  return num_image_tokens(
      1, height / config.patch_size, width / config.patch_size, config.merge_size);
}

PixelPatches preprocess(const RgbImage& image, const ProcessorConfig& config) {
  const RgbImage resized = resize_for(image, config);
  const int64_t patch = config.patch_size, merge = config.merge_size;
  const int64_t rows = resized.height / patch, columns = resized.width / patch;
  PixelPatches result;
  result.pixel_values = at::empty({rows * columns, config.patch_dim()}, at::kFloat);
  prefault(result.pixel_values.mutable_data_ptr(), result.pixel_values.nbytes());
  result.grid_thw = at::empty({1, 3}, at::kLong);
  auto* grid = result.grid_thw.mutable_data_ptr<int64_t>();
  grid[0] = 1, grid[1] = rows, grid[2] = columns;

  const PatchWriter writer(config);
  const size_t pitch = static_cast<size_t>(3 * resized.width);
  const uint8_t* pixels = resized.rgb.data();
  auto* target = result.pixel_values.mutable_data_ptr<float>();
  const auto write_patch = [&](int64_t row, int64_t column) {
    const uint8_t* corner = pixels + 3 * (row * patch * resized.width + column * patch);
    writer.write(corner, pitch, pixels + resized.rgb.size(), target);
    target += config.patch_dim();
  };
  // Patches that are merged later stand next to each other: blocks of merge x merge, row by row.
  const int64_t blocks = rows / merge * (columns / merge);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t top = block / (columns / merge) * merge, left = block % (columns / merge) * merge;
    for (int64_t i = 0; i < merge * merge; ++i) write_patch(top + i / merge, left + i % merge);
  }
  return result;
}

int64_t num_image_tokens(int64_t t, int64_t h, int64_t w, int64_t merge_size) {
  return t * h * w / (merge_size * merge_size);
}

}  // namespace sgrpo::image
