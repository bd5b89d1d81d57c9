// An image file -> the patches the vision tower takes, exactly as Hugging Face's fast Qwen
// processors.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/image/image_size.h"
#include "sgrpo/types/encoded_prompt.h"

namespace sgrpo::image {

/// 8-bit RGB, rows top to bottom, pixels interleaved.
struct RgbImage {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgb;  // height * width * 3
};

/// The settings of a folder's image processor.
struct ProcessorConfig {
  int64_t patch_size = 14;
  int64_t temporal_patch_size = 2;
  int64_t merge_size = 2;
  int64_t min_pixels = 56 * 56;
  int64_t max_pixels = 28 * 28 * 1280;
  std::array<double, 3> mean = {0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std = {0.26862954, 0.26130258, 0.27577711};
  double rescale_factor = 1.0 / 255.0;
  // Height and width that stand in for the picture's own and for both limits, rounded to whole
  // patches (qwen-vl-utils' resized_height, resized_width).
  std::optional<std::array<int64_t, 2>> resized = {};
  std::string where = {};  // the file, for messages

  int64_t patch_dim() const { return 3 * temporal_patch_size * patch_size * patch_size; }
};

/// Reads processor_config.json's image_processor (v5), else preprocessor_config.json (hub
/// layouts). Nothing if the folder has neither (a text model). Throws core::UserError naming file
/// and key.
std::optional<ProcessorConfig> load_processor(const std::filesystem::path& folder);

/// A folder's settings under the user's limits, which `prefix` names in messages ("data.",
/// "--"). Throws core::UserError where the smallest area is above the largest: it says whose each
/// of them is.
ProcessorConfig with_user_limits(ProcessorConfig config,
                                 std::optional<int64_t> min_pixels,
                                 std::optional<int64_t> max_pixels,
                                 const std::string& prefix);

/// Height and width after the resize: multiples of `factor`, area within [min_pixels, max_pixels],
/// aspect kept. Halves round to even, as Python. Throws core::UserError for an aspect ratio above
/// 200. Source: transformers, Qwen2-VL's smart_resize.
std::array<int64_t, 2> smart_resize(
    int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels);

/// The settings for one picture: what its image part asks for wins.
ProcessorConfig with_limits(ProcessorConfig config, const ImageLimits& limits);

/// Height and width that a picture of this size gets. Throws as smart_resize.
std::array<int64_t, 2> target_size(const ImageSize& size, const ProcessorConfig& config);

/// Image tokens of a picture of this size. Throws as smart_resize.
int64_t num_tokens_of(const ImageSize& size, const ProcessorConfig& config);

/// Resize, rescale, normalise, cut into patches in the model's order. grid_thw is [1, 3]; a single
/// frame is repeated temporal_patch_size times.
PixelPatches preprocess(const RgbImage& image, const ProcessorConfig& config);

/// Reads and preprocesses one picture. Throws core::UserError naming it.
PixelPatches load_image(const ImageSource& source, const ProcessorConfig& config);

/// Image tokens of a grid row: t * h * w / merge^2.
int64_t num_image_tokens(int64_t t, int64_t h, int64_t w, int64_t merge_size);

}  // namespace sgrpo::image
