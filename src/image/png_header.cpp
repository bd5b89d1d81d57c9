// PNG (ISO 15948): every chunk's length and checksum, IHDR first, IDAT present, IEND last.
#include "image/header.h"

#include <array>

#include "image/png_text.h"
#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

/// table[k][b]: the checksum of byte b followed by k zeros.
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

CrcTables make_crc_tables() {
  CrcTables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xEDB88320U : 0);
    tables[0][i] = value;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t i = 0; i < 256; ++i)
      tables[k][i] = tables[0][tables[k - 1][i] & 0xFF] ^ tables[k - 1][i] >> 8;
  return tables;
}

/// CRC-32 of ISO 3309, reflected polynomial 0xEDB88320, eight bytes at a time.
uint32_t crc32(std::string_view bytes) {
  static const CrcTables kTables = make_crc_tables();
  const auto at = [&](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
  uint32_t crc = 0xFFFFFFFFU;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    const uint32_t low = crc ^ (at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24);
    crc = kTables[7][low & 0xFF] ^ kTables[6][low >> 8 & 0xFF] ^ kTables[5][low >> 16 & 0xFF] ^
          kTables[4][low >> 24] ^ kTables[3][at(4)] ^ kTables[2][at(5)] ^ kTables[1][at(6)] ^
          kTables[0][at(7)];
  }
  for (const char c : bytes) crc = kTables[0][(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

struct Depth {
  uint32_t bits = 0;
  uint32_t color = 0;  // 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGB + alpha
};

Depth read_ihdr(const Bytes& file, uint64_t data, ImageHeader& header) {
  header.width = file.be32(data);
  header.height = file.be32(data + 4);
  const Depth depth{.bits = file.u8(data + 8), .color = file.u8(data + 9)};
  header.is_gray16 = depth.color == 0 && depth.bits == 16;
  header.has_alpha = depth.color == 4 || depth.color == 6;
  // Deflate expands at most 1032-fold (RFC 1951: 258 bytes from two bits).
  const int channels = depth.color == 2 ? 3 : depth.color == 4 ? 2 : depth.color == 6 ? 4 : 1;
  header.min_bytes = static_cast<double>(header.width) * static_cast<double>(header.height) *
                     depth.bits * channels / 8 / 1032;
  return depth;
}

/// tRNS of a palette becomes an alpha channel in the decoder; of gray and RGB it names one colour.
/// Pillow compares its 8-bit samples with the key's raw value: gray of 2 and 4 bits is already
/// stretched to 0..255 then, and a gray key above 255 matches nothing; of RGB keys the low bytes
/// count. We follow it.
void read_trns(const Bytes& file, uint64_t data, uint64_t length, Depth depth, ImageHeader& out) {
  if (depth.color == 3) {
    out.has_alpha = true;
  } else if (depth.color == 0 && length >= 2) {
    int gray = static_cast<int>(file.be16(data));
    if (depth.bits == 1) gray = gray != 0 ? 255 : 0;
    out.color_key = {gray, gray, gray};
  } else if (depth.color == 2 && length >= 6) {
    const auto key = [&](uint64_t i) { return static_cast<int>(file.be16(data + 2 * i) & 0xFF); };
    out.color_key = {key(0), key(1), key(2)};
  }
}

/// Whether the decoder needs a chunk: about all others it may warn on stderr, colour profiles and
/// keys of other depths above all.
bool decides_pixels(std::string_view name, const Depth& depth) {
  return name == "IHDR" || name == "PLTE" || name == "IDAT" || name == "IEND" ||
         (name == "tRNS" && depth.color == 3);
}

void add_text(std::string_view name, std::string_view data, const Bytes& file, PngTexts& texts) {
  try {
    texts.add(name, data);
  } catch (const core::UserError& error) {
    file.fail(error.what());
  }
}

}  // namespace

ImageHeader read_png_header(const Bytes& file) {
  ImageHeader header{.container = Container::kPng};
  Depth depth;
  PngTexts texts;
  bool has_data = false, has_others = false;
  std::string_view name;
  for (uint64_t at = 8; name != "IEND"; at += 12) {
    const uint64_t length = file.be32(at);
    name = file.slice(at + 4, 4);
    if (at == 8 && (name != "IHDR" || length != 13))
      file.fail("is damaged: a PNG whose first chunk is not its header");
    const std::string_view checked = file.slice(at + 4, length + 4);
    if (crc32(checked) != file.be32(at + 8 + length)) {
      file.fail("is damaged: PNG chunk '",
                core::printable(name),
                "' at byte ",
                at,
                " fails its checksum; copy or download the file again");
    }
    const uint64_t data = at + 8;
    if (at == 8) depth = read_ihdr(file, data, header);
    if (name == "IDAT") has_data = true;
    if (decides_pixels(name, depth)) {
      header.png_chunks.push_back(file.slice(at, length + 12));
    } else {
      has_others = true;
    }
    if (name == "tRNS") read_trns(file, data, length, depth, header);
    add_text(name, checked.substr(4), file, texts);
    at += length;
  }
  if (!has_data) file.fail("is damaged: a PNG without image data");
  if (!has_others) header.png_chunks.clear();
  header.orientation = texts.orientation();
  return header;
}

}  // namespace sgrpo::image
