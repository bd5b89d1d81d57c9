// PNG files made by hand: stored deflate blocks, so that no library is needed and any header can be
// written.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace sgrpo::testing {

inline std::string be32(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

/// length, name, data, CRC-32 of name and data
inline std::string png_chunk(const std::string& name, const std::string& data) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : name + data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
  }
  return be32(static_cast<uint32_t>(data.size())) + name + data + be32(~crc);
}

/// A zlib stream of stored blocks.
inline std::string zlib_stored(const std::string& data) {
  std::string stream("\x78\x01", 2);
  size_t at = 0;
  do {
    const size_t size = std::min<size_t>(data.size() - at, 65535);
    const bool is_last = at + size == data.size();
    const auto length = static_cast<uint16_t>(size);
    const auto inverse = static_cast<uint16_t>(~length);
    stream += is_last ? '\1' : '\0';
    for (const uint16_t word : {length, inverse})
      for (const int shift : {0, 8}) stream += static_cast<char>(word >> shift & 0xFF);
    stream += data.substr(at, size);
    at += size;
  } while (at < data.size());
  uint32_t a = 1, b = 0;  // Adler-32
  for (const char c : data) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return stream + be32(b << 16 | a);
}

/// An 8-bit RGB PNG with `rows` as its scan lines (filter bytes included).
inline std::string png_of_rows(uint32_t width, uint32_t height, const std::string& rows) {
  const std::string header = be32(width) + be32(height) + std::string("\x08\x02\0\0\0", 5);
  return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", header) + png_chunk("IDAT", zlib_stored(rows)) +
         png_chunk("IEND", "");
}

/// A picture that depends on `seed`: a coarse pattern of coloured blocks.
inline std::string make_png(uint32_t width, uint32_t height, uint32_t seed = 0) {
  std::string rows;
  for (uint32_t y = 0; y < height; ++y) {
    rows += '\0';
    for (uint32_t x = 0; x < width; ++x) {
      const uint32_t block = (x / 5 + 7 * (y / 5) + 31 * seed) * 2654435761U;
      for (const int shift : {8, 16, 24}) rows += static_cast<char>(block >> shift & 0xFF);
    }
  }
  return png_of_rows(width, height, rows);
}

}  // namespace sgrpo::testing
