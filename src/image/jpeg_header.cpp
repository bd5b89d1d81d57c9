// JPEG (ITU T.81): markers up to the end marker, scan data skipped byte by byte. libjpeg fills a
// missing tail with gray and calls it a warning; here it is an error.
#include "image/header.h"
#include "image/orientation.h"

#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

using std::string_view_literals::operator""sv;

constexpr uint32_t kStuffed = 0x00, kTemporary = 0x01, kRestart0 = 0xD0, kRestart7 = 0xD7,
                   kEnd = 0xD9, kScan = 0xDA, kApp1 = 0xE1;

bool is_frame(uint32_t marker) {  // SOF0..15 without DHT, JPG, DAC
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

bool is_lone(uint32_t marker) {
  return marker == kStuffed || marker == kTemporary || (marker >= kRestart0 && marker <= kRestart7);
}

/// The offset just behind the next marker's code; `marker` receives the code.
uint64_t next_marker(const Bytes& file, uint64_t at, uint32_t& marker) {
  while (true) {
    at = file.all().find('\xFF', at);
    if (at == std::string_view::npos || at + 1 >= file.size()) {
      file.fail("is truncated: the JPEG ends after ",
                file.size(),
                " bytes without its end marker; copy or download the file again");
    }
    marker = file.u8(++at);
    if (marker != 0xFF && !is_lone(marker)) return at + 1;  // FF FF: the first one is padding
  }
}

void read_frame(const Bytes& file, uint32_t marker, uint64_t segment, ImageHeader& header) {
  header.height = file.be16(segment + 3);
  header.width = file.be16(segment + 5);
  header.is_cmyk = file.u8(segment + 7) == 4;
  const uint32_t precision = file.u8(segment + 2);
  // A Huffman code has at least one bit, and every 8x8 block has a code (baseline, progressive).
  const bool is_huffman = marker <= 0xC2;
  if (is_huffman) header.min_bytes = static_cast<double>(header.width * header.height) / 512;
  if (precision != 8) file.fail("is a JPEG with ", precision, " bits a sample, expected 8");
}

/// What APP1 segments hold.
struct Metadata {
  std::string_view exif, xmp;

  void read(std::string_view content) {
    constexpr auto kExif = "Exif\0\0"sv, kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
    if (core::starts_with(content, kExif) && exif.empty()) exif = content.substr(kExif.size());
    if (core::starts_with(content, kXmp)) xmp = content.substr(kXmp.size());
  }
};

}  // namespace

ImageHeader read_jpeg_header(const Bytes& file) {
  ImageHeader header{.container = Container::kJpeg};
  Metadata metadata;
  bool has_frame = false, has_scan = false;
  uint32_t marker = 0;
  for (uint64_t at = next_marker(file, 2, marker); marker != kEnd;
       at = next_marker(file, at, marker)) {
    const uint64_t length = file.be16(at);
    if (length < 2) file.fail("is damaged: a JPEG segment at byte ", at, " has length ", length);
    file.need(at, length);
    if (is_frame(marker) && !has_frame) {
      read_frame(file, marker, at, header);
      has_frame = true;
    }
    has_scan = has_scan || marker == kScan;
    if (marker == kApp1) metadata.read(file.slice(at + 2, length - 2));
    at += length;
  }
  if (!has_frame || !has_scan) file.fail("is damaged: a JPEG without image data");
  header.orientation = find_orientation(metadata.exif, metadata.xmp);
  return header;
}

}  // namespace sgrpo::image
