// sgrpo preprocess: an image file -> the patches that the model is fed.
#include <chrono>
#include <iostream>

#include "cli/model_files.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/file.h"

namespace sgrpo::cli {
namespace {

struct Preprocess {
  static constexpr const char* kSummary = "the patches of an image, as the model is fed them";
  static constexpr bool kTakesConfig = false;

  std::string model, image, output;
  std::optional<int64_t> min_pixels, max_pixels;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("model",
          model,
          FieldInfo{.help = "checkpoint folder; its processor's file is enough",
                    .unit = "DIR",
                    .required = true,
                    .is_path = true});
    visit("image",
          image,
          FieldInfo{
              .help = "JPEG, PNG, WebP or BMP", .unit = "FILE", .required = true, .is_path = true});
    visit("output",
          output,
          FieldInfo{.help = "pixel_values f32 [N, C*Tp*Ps*Ps] and image_grid_thw i64 [1, 3]",
                    .unit = "X.safetensors",
                    .required = true,
                    .is_path = true});
    visit("min_pixels",
          min_pixels,
          FieldInfo{.help = "instead of the folder's own", .unit = "N", .low = 1, .high = 1e9});
    visit("max_pixels",
          max_pixels,
          FieldInfo{.help = "instead of the folder's own", .unit = "N", .low = 1, .high = 1e9});
  }

  int run(const Invocation& invocation) {
    for (const std::string& read : {image, model}) core::check_not_input(output, read);
    const PixelLimits limits{.min_pixels = min_pixels, .max_pixels = max_pixels};
    const image::ProcessorConfig processor =
        load_image_processor(small_files_folder(model), limits);
    const auto start = std::chrono::steady_clock::now();
    const PixelPatches patches = image::load_image({.path = image}, processor);
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - start;
    patches.validate();
    checkpoint::write_safetensors(
        output, {{"pixel_values", patches.pixel_values}, {"image_grid_thw", patches.grid_thw}});
    const auto* grid = patches.grid_thw.data_ptr<int64_t>();
    const core::Json result = {
        {"pixel_values", patches.pixel_values.sizes().vec()},
        {"image_grid_thw", {grid[0], grid[1], grid[2]}},
        {"image_tokens", image::num_image_tokens(grid[0], grid[1], grid[2], processor.merge_size)},
        {"milliseconds", spent.count()},
        {"output", output}};
    if (invocation.json) {
      std::cout << core::dump_ascii(result) << "\n";
    } else {
      std::cout << "pixel_values " << result["pixel_values"].dump() << ", image_grid_thw "
                << result["image_grid_thw"].dump() << ", " << result["image_tokens"]
                << " image tokens, " << result["milliseconds"] << " ms -> " << output << "\n";
    }
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("preprocess", Preprocess);

}  // namespace
}  // namespace sgrpo::cli
