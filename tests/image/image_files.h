// Files of tests/golden/image and damaged variants of them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::image {

inline const std::filesystem::path kGolden =
    std::filesystem::path(SGRPO_TESTS_DIR) / "golden" / "image";

inline std::string golden_bytes(const std::string& file) {
  return core::read_file(kGolden / "files" / file);
}

/// The rows of a JSONL file beside the images.
inline std::vector<core::Json> golden_rows(const std::string& file) {
  std::vector<core::Json> rows;
  for (const std::string& line : core::split(core::read_file(kGolden / file), '\n'))
    if (!line.empty()) rows.push_back(core::parse_json(line, file));
  return rows;
}

/// The text of the UserError that `call` throws.
inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const core::UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace sgrpo::image
