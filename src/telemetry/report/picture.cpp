#include "telemetry/report/picture.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"
#include "telemetry/report/html.h"

namespace sgrpo::telemetry::report {
namespace {

/// Unsigned number of `count` bytes at `at`; 0 beyond the end.
int read_number(std::string_view bytes, size_t at, size_t count, bool big_endian) {
  if (at + count > bytes.size()) return 0;
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t from = at + (big_endian ? i : count - 1 - i);
    value = value << 8 | static_cast<uint8_t>(bytes[from]);
  }
  return value > 0x7FFFFFFFu ? 0 : static_cast<int>(value);
}

/// Walks the segments of a JPEG to the frame header (SOF0..SOF15 without DHT, JPG, DAC).
void jpeg_size(std::string_view bytes, Picture& picture) {
  for (size_t at = 2; at + 9 < bytes.size();) {
    if (bytes[at] != '\xFF') return;
    const auto marker = static_cast<uint8_t>(bytes[at + 1]);
    if (marker == 0xFF) {
      ++at;  // fill byte
      continue;
    }
    const bool frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) {
      picture.height = read_number(bytes, at + 5, 2, true);
      picture.width = read_number(bytes, at + 7, 2, true);
      return;
    }
    at += 2 + static_cast<size_t>(read_number(bytes, at + 2, 2, true));
  }
}

/// The three kinds of WebP: lossy (14-bit sizes), lossless (14 bits less one), extended (24 bits).
void webp_size(std::string_view bytes, Picture& picture) {
  const std::string_view kind = bytes.substr(12, 4);
  if (kind == "VP8 ") {
    picture.width = read_number(bytes, 26, 2, false) & 0x3FFF;
    picture.height = read_number(bytes, 28, 2, false) & 0x3FFF;
  } else if (kind == "VP8L") {
    const int packed = read_number(bytes, 21, 4, false);
    picture.width = (packed & 0x3FFF) + 1;
    picture.height = (packed >> 14 & 0x3FFF) + 1;
  } else if (kind == "VP8X") {
    picture.width = read_number(bytes, 24, 3, false) + 1;
    picture.height = read_number(bytes, 27, 3, false) + 1;
  }
}

/// The media type, "" if it is none of the four; fills in the size.
std::string_view sniff(std::string_view bytes, Picture& picture) {
  if (core::starts_with(bytes, "\x89PNG\r\n\x1A\n")) {
    picture.width = read_number(bytes, 16, 4, true);
    picture.height = read_number(bytes, 20, 4, true);
    return "image/png";
  }
  if (core::starts_with(bytes, "\xFF\xD8\xFF")) {
    jpeg_size(bytes, picture);
    return "image/jpeg";
  }
  if (core::starts_with(bytes, "RIFF") && bytes.size() >= 30 && bytes.substr(8, 4) == "WEBP") {
    webp_size(bytes, picture);
    return "image/webp";
  }
  if (core::starts_with(bytes, "BM")) {
    picture.width = read_number(bytes, 18, 4, false);
    picture.height = read_number(bytes, 22, 4, false);
    return "image/bmp";
  }
  return "";
}

}  // namespace

Picture load_picture(const ImageSource& source, size_t max_bytes) {
  Picture picture;
  std::error_code error;
  const auto size =
      source.bytes ? source.bytes->size() : std::filesystem::file_size(source.path, error);
  if (error) {
    picture.problem = "missing";
    return picture;
  }
  if (size > max_bytes) {
    char text[64];
    std::snprintf(
        text, sizeof text, "%.1f MB, too large to embed", static_cast<double>(size) / 1e6);
    picture.problem = text;
    return picture;
  }
  try {
    const std::string bytes = source.bytes ? *source.bytes : core::read_file(source.path);
    const std::string_view type = sniff(bytes, picture);
    if (type.empty()) {
      picture.problem = "not a PNG, JPEG, WebP or BMP";
    } else {
      picture.data_uri = core::str("data:", type, ";base64,", base64(bytes));
    }
  } catch (const core::Error&) {
    picture.problem = "unreadable";
  }
  return picture;
}

}  // namespace sgrpo::telemetry::report
