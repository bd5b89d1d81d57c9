// Our resize against the operator that the reference calls.
#include "image/resize.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sgrpo/core/rng.h"

namespace sgrpo::image {
namespace {

RgbImage noise(int64_t height, int64_t width, uint64_t seed) {
  RgbImage image{.width = width, .height = height, .rgb = {}};
  const core::RandomKey key{.seed = seed};
  for (int64_t i = 0; i < height * width * 3; ++i) {
    const uint64_t bits = key.bits(static_cast<uint64_t>(i));  // half of the bytes are 0 or 255
    image.rgb.push_back(static_cast<uint8_t>(bits & 1 ? bits >> 8 : (bits & 2 ? 255 : 0)));
  }
  return image;
}

std::vector<uint8_t> reference(const RgbImage& image, int64_t height, int64_t width) {
  at::Tensor pixels = at::empty({1, image.height, image.width, 3}, at::kByte);
  std::copy(image.rgb.begin(), image.rgb.end(), pixels.mutable_data_ptr<uint8_t>());
  pixels = pixels.permute({0, 3, 1, 2}).contiguous();
  const at::Tensor resized = at::_upsample_bicubic2d_aa(pixels, {height, width}, false);
  const at::Tensor dense = resized.permute({0, 2, 3, 1}).contiguous();
  return {dense.const_data_ptr<uint8_t>(), dense.const_data_ptr<uint8_t>() + dense.numel()};
}

TEST(ResizeBicubic, bytes_equal_the_operator_for_random_sizes) {
  for (uint64_t i = 0; i < 150; ++i) {
    const core::RandomKey key{.seed = 17, .step = i};
    const auto side = [&](uint64_t draw) { return static_cast<int64_t>(key.below(160, draw)) + 1; };
    const RgbImage image = noise(side(0), side(1), i);
    const int64_t height = side(2), width = side(3);
    ASSERT_EQ(resize_bicubic(image, height, width).rgb, reference(image, height, width))
        << image.height << "x" << image.width << " -> " << height << "x" << width;
  }
}

TEST(ResizeBicubic, bytes_equal_the_operator_at_extremes) {
  const std::array<std::array<int64_t, 4>, 7> cases = {{{1, 1, 56, 56},
                                                        {1, 200, 28, 812},
                                                        {900, 700, 28, 28},
                                                        {2000, 3, 700, 28},
                                                        {28, 40, 28, 56},
                                                        {40, 28, 56, 28},
                                                        {31, 31, 31, 31}}};
  for (const auto& [from_height, from_width, height, width] : cases) {
    const RgbImage image = noise(from_height, from_width, 3);
    EXPECT_EQ(resize_bicubic(image, height, width).rgb, reference(image, height, width))
        << from_height << "x" << from_width << " -> " << height << "x" << width;
  }
}

}  // namespace
}  // namespace sgrpo::image
