// Sizes, resized bytes and pixel values against transformers (tests/golden/image).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "image/resize.h"
#include "image_files.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

const ProcessorConfig kP14{.max_pixels = 28 * 28 * 48};
const ProcessorConfig kP16{.patch_size = 16,
                           .min_pixels = 64 * 64,
                           .max_pixels = 32 * 32 * 40,
                           .mean = {0.5, 0.5, 0.5},
                           .std = {0.5, 0.5, 0.5}};

std::string sha(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  return core::sha256_hex(
      {static_cast<const char*>(dense.const_data_ptr()), static_cast<size_t>(dense.nbytes())});
}

/// The patch order written out: the slow twin of preprocess(), in double.
std::vector<double> slow_patches(const at::Tensor& resized, const ProcessorConfig& config) {
  const auto pixel = resized.accessor<uint8_t, 3>();
  const int64_t size = config.patch_size, block = size * config.merge_size;
  std::vector<double> out;
  for (int64_t top = 0; top < resized.size(1); top += block)
    for (int64_t left = 0; left < resized.size(2); left += block)
      for (int64_t y0 = top; y0 < top + block; y0 += size)
        for (int64_t x0 = left; x0 < left + block; x0 += size)
          for (size_t c = 0; c < 3; ++c)
            for (int64_t t = 0; t < config.temporal_patch_size; ++t)
              for (int64_t i = 0; i < size * size; ++i) {
                const int64_t y = y0 + i / size, x = x0 + i % size;
                out.push_back((pixel[static_cast<int64_t>(c)][y][x] - 255 * config.mean[c]) /
                              (255 * config.std[c]));
              }
  return out;
}

TEST(SmartResize, sizes_of_620_cases_equal_transformers) {
  const auto rows = golden_rows("smart_resize.jsonl");
  ASSERT_EQ(rows.size(), 620u);
  for (const core::Json& row : rows) {
    std::vector<int64_t> v = row.get<std::vector<int64_t>>();
    if (v[5] == 0) {
      EXPECT_THROW(smart_resize(v[0], v[1], v[2], v[3], v[4]), core::UserError) << row.dump();
      continue;
    }
    EXPECT_EQ(smart_resize(v[0], v[1], v[2], v[3], v[4]), (std::array<int64_t, 2>{v[5], v[6]}))
        << row.dump();
  }
}

TEST(SmartResize, aspect_above_200_is_named) {
  EXPECT_EQ(testing::message_of([] { smart_resize(3, 603, 28, 3136, 1000000); }),
            "image of 603x3 pixels has an aspect ratio above 200; crop it or remove the row");
}

/// Resized as for patches, [3, H, W] u8.
at::Tensor resize_image(const RgbImage& image, const ProcessorConfig& config) {
  const auto [height, width] = target_size({.width = image.width, .height = image.height}, config);
  const RgbImage resized = resize_bicubic(image, height, width);
  return at::tensor(resized.rgb, at::kByte)
      .view({height, width, 3})
      .permute({2, 0, 1})
      .contiguous();
}

class Preprocess : public ::testing::TestWithParam<const char*> {
 protected:
  ProcessorConfig config() const { return GetParam() == std::string("p14") ? kP14 : kP16; }
};

TEST_P(Preprocess, every_golden_is_bit_equal) {
  for (const core::Json& row : golden_rows("index.jsonl")) {
    const std::string file = core::get_string(row, "file", "index");
    const core::Json& want = core::get_object(row, GetParam(), file);
    const RgbImage image = decode_image(golden_bytes(file), file);
    const at::Tensor resized = resize_image(image, config());
    EXPECT_EQ(core::get_int_list(want, "size", file),
              (std::vector<int64_t>{resized.size(1), resized.size(2)}))
        << file;
    EXPECT_EQ(sha(resized), core::get_string(want, "resized", file)) << file;
    const PixelPatches patches = preprocess(image, config());
    patches.validate();
    EXPECT_EQ(sha(patches.pixel_values), core::get_string(want, "pixels", file)) << file;
  }
}

TEST_P(Preprocess, pixel_values_equal_the_formula) {
  const RgbImage image = decode_image(golden_bytes("rgb_244x138.png"), "image");
  const at::Tensor values = preprocess(image, config()).pixel_values;
  const auto expected = slow_patches(resize_image(image, config()), config());
  ASSERT_EQ(values.numel(), static_cast<int64_t>(expected.size()));
  double worst = 0;  // values up to 2.2: three roundings of f32 are below 4e-7
  for (size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(values.const_data_ptr<float>()[i] - expected[i]));
  EXPECT_LE(worst, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Preprocess, ::testing::Values("p14", "p16"), [](const auto& slot) {
  return std::string(slot.param);
});

TEST(LoadImage, missing_file_is_named) {
  EXPECT_EQ(testing::message_of([] { load_image({.path = "no/such.png"}, {}); }),
            "cannot read no/such.png: No such file or directory");
}

TEST(LoadImage, folder_is_refused) {
  EXPECT_NE(testing::message_of([] { load_image({.path = kGolden}, {}); }).find("is a folder"),
            std::string::npos);
}

TEST(NumImageTokens, count_is_grid_over_merge_square) {
  EXPECT_EQ(num_image_tokens(1, 10, 18, 2), 45);
}

TEST(TargetSize, limits_above_every_picture_are_refused) {
  const ProcessorConfig config{.min_pixels = int64_t{1} << 33, .max_pixels = int64_t{1} << 34};
  EXPECT_EQ(testing::message_of([&] { target_size({.width = 100, .height = 100}, config); }),
            "min_pixels is 8589934592: no picture is enlarged to more than 178956970 pixels; "
            "lower it");
}

}  // namespace
}  // namespace sgrpo::image
