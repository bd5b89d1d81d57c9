// An image file: header, pixels, patches.
#include "fuzz/fuzz.h"
#include "image/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return sgrpo::fuzz::expect_no_fault([&] {
    const std::string_view bytes = sgrpo::fuzz::text_of(data, size);
    constexpr int64_t kMostPixels = 1 << 20;  // larger ones only take longer
    const auto header = sgrpo::image::read_checked_header(bytes, "image", kMostPixels);
    const auto image = sgrpo::image::decode_checked(bytes, header, "image");
    sgrpo::image::ProcessorConfig config;
    config.max_pixels = 64 * 64;
    sgrpo::image::preprocess(image, config);
  });
}
