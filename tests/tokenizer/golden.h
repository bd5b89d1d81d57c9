// Reading of the golden rows of this room.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "testing/scratch.h"

namespace sgrpo::tokenizer {

inline const std::filesystem::path kGolden =
    std::filesystem::path(SGRPO_TESTS_DIR) / "golden" / "tokenizer";

inline std::vector<core::Json> read_rows(const std::filesystem::path& path) {
  return testing::read_jsonl(path);
}

using TemporaryFolder = testing::Scratch;

/// The message of the UserError that `action` throws.
inline std::string user_error(const std::function<void()>& action) {
  return testing::message_of(action);
}

}  // namespace sgrpo::tokenizer
