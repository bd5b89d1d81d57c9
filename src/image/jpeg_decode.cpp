#include "image/jpeg_decode.h"

#include <turbojpeg.h>

#include <cstdio>
#include <memory>

#include "image/allocate.h"
#include "sgrpo/core/error.h"

namespace sgrpo::image {
namespace {

struct Close {
  void operator()(void* handle) const { tjDestroy(handle); }
};

/// a * b / 255, rounded: Pillow's MULDIV255.
uint32_t multiply_255(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// [pixels, 4] -> [pixels, 3] in the same memory: a result never stands behind its source.
void convert_cmyk(std::vector<uint8_t>& samples) {
  const size_t pixels = samples.size() / 4;
  for (size_t i = 0; i < pixels; ++i) {
    const uint8_t* cmyk = samples.data() + 4 * i;
    const uint32_t light = cmyk[3];  // 255 - K
    for (size_t c = 0; c < 3; ++c)
      samples[3 * i + c] = static_cast<uint8_t>(light - multiply_255(255U - cmyk[c], light));
  }
  samples.resize(3 * pixels);
}

/// Whether all that the library warned of is filling between the last scan and the end: some
/// cameras write zeros there, and no pixel depends on them.
bool is_padding(std::string_view bytes, const std::string& warning) {
  constexpr std::string_view kEndMarker = "\xFF\xD9";
  unsigned int count = 0;
  const int found = std::sscanf(
      warning.c_str(), "Corrupt JPEG data: %u extraneous bytes before marker 0xd9", &count);
  const size_t end = bytes.rfind(kEndMarker);
  if (found != 1 || end == bytes.npos || count > end) return false;
  const std::string_view filling = bytes.substr(end - count, count);
  return filling.find_first_not_of(filling.substr(0, 1)) == filling.npos;
}

[[noreturn]] void fail_damaged_jpeg(const ImageHeader& header,
                                    const std::string& where,
                                    const std::string& reason) {
  throw core::UserError(core::str(where,
                                  ": is a damaged JPEG of ",
                                  header.width,
                                  "x",
                                  header.height,
                                  " pixels: ",
                                  reason,
                                  "; copy or download the file again"));
}

}  // namespace

RgbImage decode_jpeg(std::string_view bytes, const ImageHeader& header, const std::string& where) {
  const std::unique_ptr<void, Close> decoder(tjInitDecompress());
  const int format = header.is_cmyk ? TJPF_CMYK : TJPF_RGB;
  const int width = static_cast<int>(header.width), height = static_cast<int>(header.height);
  RgbImage image{.width = header.width, .height = header.height, .rgb = {}};
  allocate(image, tjPixelSize[format]);
  // A progressive file of thousands of scans would cost minutes: 500 is the library's limit.
  const int done = tjDecompress2(decoder.get(),
                                 reinterpret_cast<const unsigned char*>(bytes.data()),
                                 bytes.size(),
                                 image.rgb.data(),
                                 width,
                                 width * tjPixelSize[format],
                                 height,
                                 format,
                                 TJFLAG_LIMITSCANS);
  if (done != 0) {
    const std::string reason = tjGetErrorStr2(decoder.get());
    const bool is_fatal = tjGetErrorCode(decoder.get()) == TJERR_FATAL;
    if (is_fatal || !is_padding(bytes, reason)) fail_damaged_jpeg(header, where, reason);
  }
  if (header.is_cmyk) convert_cmyk(image.rgb);
  return image;
}

}  // namespace sgrpo::image
