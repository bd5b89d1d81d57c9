#include <gtest/gtest.h>

#include "image_files.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

/// A folder that vanishes with the test.
class ProcessorFolder : public ::testing::Test {
 protected:
  ProcessorFolder() : folder_(::testing::TempDir() + "processor_folder") {
    std::filesystem::create_directories(folder_);
  }
  ~ProcessorFolder() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& file, const std::string& text) {
    core::write_file_atomic(folder_ / file, text);
  }
  std::string error() {
    const std::string text = testing::message_of([&] { load_processor(folder_); });
    return text.substr(std::min(text.size(), folder_.string().size() + 1));
  }
  std::filesystem::path folder_;
};

TEST_F(ProcessorFolder, load_hub_layout_reads_min_and_max_pixels) {
  write("preprocessor_config.json",
        R"({"min_pixels": 3136, "max_pixels": 37632, "patch_size": 16, "merge_size": 2,
            "temporal_patch_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [1, 2, 3],
            "image_processor_type": "Qwen2VLImageProcessor"})");
  const auto config = load_processor(folder_);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->max_pixels, 37632);
  EXPECT_EQ(config->patch_size, 16);
  EXPECT_EQ(config->std, (std::array<double, 3>{1, 2, 3}));
}

TEST_F(ProcessorFolder, load_v5_layout_reads_edges_and_wins) {
  write("processor_config.json",
        R"({"image_processor": {"size": {"shortest_edge": 4096, "longest_edge": 40960}}})");
  write("preprocessor_config.json", R"({"min_pixels": 1, "max_pixels": 2})");
  const auto config = load_processor(folder_);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->min_pixels, 4096);
  EXPECT_EQ(config->max_pixels, 40960);
}

TEST_F(ProcessorFolder, load_text_folder_gives_nothing) { EXPECT_FALSE(load_processor(folder_)); }

TEST_F(ProcessorFolder, load_wrong_values_name_file_and_key) {
  write("preprocessor_config.json", R"({"patch_size": "14"})");
  EXPECT_EQ(error(), "preprocessor_config.json: 'patch_size' is a string, expected an integer");
  write("preprocessor_config.json", R"({"image_mean": [0.5, 0.5]})");
  EXPECT_EQ(
      error(),
      "preprocessor_config.json: 'image_mean' is [0.5,0.5], expected a list of three numbers");
  write("preprocessor_config.json", R"({"min_pixels": 50, "max_pixels": 40})");
  EXPECT_EQ(error(), "preprocessor_config.json: min_pixels is 50, larger than max_pixels = 40");
  write("preprocessor_config.json", R"({"do_normalize": false})");
  EXPECT_EQ(error(),
            "preprocessor_config.json: 'do_normalize' is false; only processors that do this step "
            "are supported");
  write("preprocessor_config.json", R"({"do_center_crop": true})");
  EXPECT_EQ(error(),
            "preprocessor_config.json: 'do_center_crop' is true; processors that do this step are "
            "not supported");
  write("preprocessor_config.json", R"({"resample": 2})");
  EXPECT_EQ(error(), "preprocessor_config.json: 'resample' is 2, expected 3 (bicubic)");
  write("preprocessor_config.json", R"({"image_std": [1, 0, 1]})");
  EXPECT_EQ(error(), "preprocessor_config.json: 'image_std' has 0, expected positive numbers");
  write("preprocessor_config.json", R"({"max_pixels": 1e30})");
  EXPECT_EQ(error(), "preprocessor_config.json: 'max_pixels' is 1e+30, expected an integer");
  write("preprocessor_config.json", R"({"size": {"height": 224, "width": 224}})");
  EXPECT_EQ(error(),
            "preprocessor_config.json: 'size' is {\"height\":224,\"width\":224}, expected "
            "{\"shortest_edge\": N, \"longest_edge\": N} in pixels");
  write("preprocessor_config.json", "[]");
  EXPECT_EQ(error(), "preprocessor_config.json: not an object of settings");
  write("preprocessor_config.json", R"({"image_processor_type": "CLIPImageProcessor"})");
  EXPECT_EQ(error(),
            "preprocessor_config.json: 'image_processor_type' is 'CLIPImageProcessor', expected a "
            "Qwen image processor");
}

TEST(UserLimits, crossing_limits_say_whose_each_is) {
  const ProcessorConfig config{.min_pixels = 3136, .max_pixels = 50176, .where = "f.json"};
  const auto error =
      [&](std::optional<int64_t> low, std::optional<int64_t> high, const char* prefix) {
        return testing::message_of([&] { with_user_limits(config, low, high, prefix); });
      };
  EXPECT_EQ(with_user_limits(config, 100, 3000, "data.").max_pixels, 3000);
  EXPECT_EQ(error({}, 3000, "data."),
            "data.max_pixels is 3000, below the folder's own min_pixels = 3136 (f.json); set "
            "data.min_pixels to at most 3000");
  EXPECT_EQ(error(60000, {}, "--"),
            "the folder's own max_pixels is 50176, below --min-pixels = 60000 (f.json); set "
            "--max-pixels to at least 60000");
  EXPECT_EQ(error(9, 8, "data."),
            "data.max_pixels is 8, below data.min_pixels = 9; change one of them");
}

TEST(UserLimits, a_picture_larger_than_both_limits_gets_the_upper_one) {
  ProcessorConfig config{.min_pixels = 65536, .max_pixels = 200000};
  config = with_limits(config, {.max_pixels = 50176});
  const auto [height, width] = target_size({.width = 640, .height = 480}, config);
  EXPECT_LE(height * width, 50176);
  EXPECT_EQ(num_tokens_of({.width = 640, .height = 480}, config), height * width / 28 / 28);
  config = with_limits(config, {.resized_height = 60, .resized_width = 90});
  EXPECT_EQ(target_size({.width = 640, .height = 480}, config), (std::array<int64_t, 2>{56, 84}));
}

}  // namespace
}  // namespace sgrpo::image
