// Reading of the golden rows of this room.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::tokenizer {

inline const std::filesystem::path kGolden =
    std::filesystem::path(SGRPO_TESTS_DIR) / "golden" / "tokenizer";

inline std::vector<core::Json> read_rows(const std::filesystem::path& path) {
  std::vector<core::Json> rows;
  for (const std::string& line : core::split(core::read_file(path), '\n')) {
    if (!line.empty()) rows.push_back(core::parse_json(line, path.string()));
  }
  return rows;
}

/// A fresh folder, removed at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sgrpo_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

/// The message of the UserError that `action` throws, or a note that it threw none.
template <class Action>
std::string user_error(Action action) {
  try {
    action();
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "(no UserError)";
}

}  // namespace sgrpo::tokenizer
