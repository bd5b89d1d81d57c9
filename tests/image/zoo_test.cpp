// Small images in every colour mode, container and orientation against Pillow's bytes
// (tests/golden/image/make_zoo.py).
#include <gtest/gtest.h>

#include "image_files.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"
#include "sgrpo/image/image_file.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

TEST(ImageZoo, decode_every_mode_container_and_orientation_gives_pillows_bytes) {
  int64_t compared = 0;
  for (const core::Json& row : golden_rows("zoo.jsonl")) {
    const std::string file = core::get_string(row, "file", "zoo");
    if (core::find(row, "refused") != nullptr) continue;
    const std::string bytes = core::decode_base64(core::get_string(row, "bytes", file)).value();
    SCOPED_TRACE(file);
    try {
      const RgbImage image = decode_image(bytes, file);
      const ImageSize size =
          ImageFile({.bytes = std::make_shared<const std::string>(bytes)}).size();
      EXPECT_EQ(image.height, core::get_int(row, "height", file));
      EXPECT_EQ(image.width, core::get_int(row, "width", file));
      EXPECT_EQ(size.height, image.height);
      EXPECT_EQ(size.width, image.width);
      EXPECT_EQ(
          core::sha256_hex({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}),
          core::get_string(row, "rgb", file));
      ++compared;
    } catch (const core::UserError& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GT(compared, 400);
}

TEST(ImageZoo, decode_layouts_that_pillow_refuses_never_crashes) {
  for (const core::Json& row : golden_rows("zoo.jsonl")) {
    const std::string file = core::get_string(row, "file", "zoo");
    if (core::find(row, "refused") == nullptr) continue;
    try {
      const RgbImage image =
          decode_image(core::decode_base64(core::get_string(row, "bytes", file)).value(), file);
      EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width * image.height * 3)) << file;
    } catch (const core::UserError& error) {
      EXPECT_NE(std::string(error.what()).find("save it as PNG"), std::string::npos)
          << error.what();
    }
  }
}

TEST(ImageZoo, decode_every_cut_and_flipped_byte_never_crashes) {
  for (const core::Json& row : golden_rows("zoo.jsonl")) {
    const std::string file = core::get_string(row, "file", "zoo");
    const std::string good = core::decode_base64(core::get_string(row, "bytes", file)).value();
    const size_t stride = std::max<size_t>(1, good.size() / 12);
    for (size_t at = 0; at < good.size(); at += stride) {
      std::string flipped = good;
      flipped[at] = static_cast<char>(~flipped[at]);
      for (const std::string& bytes : {good.substr(0, at), flipped}) {
        try {
          constexpr int64_t kFewPixels = 1 << 22;  // keeps the test fast
          const RgbImage image = decode_image(bytes, file, kFewPixels);
          EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width * image.height * 3)) << file;
        } catch (const core::UserError& error) {
          EXPECT_TRUE(core::starts_with(error.what(), file + ": ")) << error.what();
        }
      }
    }
  }
}

}  // namespace
}  // namespace sgrpo::image
