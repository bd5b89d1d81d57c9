// Helpers of this room's tests: hand-made safetensors files, messages.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "testing/scratch.h"

namespace sgrpo::checkpoint::testing {

using sgrpo::testing::message_of;
using sgrpo::testing::Scratch;

inline void write_text(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The bytes of a safetensors file with this header and data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

/// Expects that the message of `Error` thrown by `action` contains `part`.
#define EXPECT_MESSAGE(Error, part, ...)                                               \
  do {                                                                                 \
    const std::string message_ =                                                       \
        ::sgrpo::checkpoint::testing::message_of<Error>([&] { (void)(__VA_ARGS__); }); \
    EXPECT_NE(message_.find(part), std::string::npos) << message_;                     \
  } while (false)

}  // namespace sgrpo::checkpoint::testing
