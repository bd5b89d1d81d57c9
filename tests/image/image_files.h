// Files of tests/golden/image and damaged variants of them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

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

}  // namespace sgrpo::image
