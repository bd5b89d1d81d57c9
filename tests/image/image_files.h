// Files of tests/golden/image and damaged variants of them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "image/decode.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "testing/scratch.h"

namespace sgrpo::image {

inline const std::filesystem::path kGolden =
    std::filesystem::path(SGRPO_TESTS_DIR) / "golden" / "image";

inline std::string golden_bytes(const std::string& file) {
  return core::read_file(kGolden / "files" / file);
}

/// The rows of a JSONL file beside the images.
inline std::vector<core::Json> golden_rows(const std::string& file) {
  return testing::read_jsonl(kGolden / file);
}

/// What ImageFile does with bytes, under another limit and another name.
inline RgbImage decode_image(const std::string& bytes,
                             const std::string& where,
                             int64_t max_decoded_pixels = kMaxDecodedPixels) {
  return decode_checked(bytes, read_checked_header(bytes, where, max_decoded_pixels), where);
}

}  // namespace sgrpo::image
