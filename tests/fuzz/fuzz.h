// What the targets share: bytes as text or as a file, and which exceptions a parser may throw.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"

namespace sgrpo::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A folder of this process and this target, gone at the end.
class Folder {
 public:
  explicit Folder(const std::string& target)
      : path_(std::filesystem::temp_directory_path() /
              ("sgrpo-fuzz-" + target + "-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// Runs a parser: input that it refuses with a message for the user is fine, nothing else is.
template <class Parse>
int expect_no_fault(Parse parse) {
  static const bool is_silent =
      (core::set_log_sink([](core::LogLevel, const std::string&) {}), true);
  static_cast<void>(is_silent);
  try {
    parse();
  } catch (const core::UserError&) {
  } catch (const core::NoCheckpointError&) {
  }
  return 0;
}

}  // namespace sgrpo::fuzz
