// SHA-256, for manifests and the identity of token and pixel streams.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sgrpo::core {

/// Incremental SHA-256 (FIPS 180-4). By hand because no library we already link offers it.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, size_t size);
  /// Lower-case hexadecimal digest; the object must not be used afterwards.
  std::string hex();

 private:
  void block(const uint8_t* data);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> buffer_{};
  uint64_t total_ = 0;
};

/// Digest of one buffer.
std::string sha256_hex(std::string_view bytes);

}  // namespace sgrpo::core
