#include "image/cmyk_jpeg.h"

#include <turbojpeg.h>

#include <memory>
#include <vector>

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

[[noreturn]] void fail(const std::string& where, void* handle) {
  throw core::UserError(core::str(where,
                                  ": is a damaged CMYK JPEG: ",
                                  tjGetErrorStr2(handle),
                                  "; copy or download the file again"));
}

}  // namespace

RgbImage decode_cmyk_jpeg(std::string_view bytes, const std::string& where) {
  const std::unique_ptr<void, Close> decoder(tjInitDecompress());
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(
          decoder.get(), data, bytes.size(), &width, &height, &subsampling, &colours) != 0) {
    fail(where, decoder.get());
  }
  std::vector<uint8_t> cmyk(static_cast<size_t>(width) * static_cast<size_t>(height) * 4);
  const int done =
      tjDecompress2(decoder.get(), data, bytes.size(), cmyk.data(), width, 0, height, TJPF_CMYK, 0);
  if (done != 0 && tjGetErrorCode(decoder.get()) == TJERR_FATAL) fail(where, decoder.get());
  RgbImage image{.width = width, .height = height, .rgb = {}};
  image.rgb.reserve(cmyk.size() / 4 * 3);
  for (size_t i = 0; i < cmyk.size(); i += 4) {
    const uint32_t light = cmyk[i + 3];  // 255 - K
    for (size_t c = 0; c < 3; ++c) {
      image.rgb.push_back(static_cast<uint8_t>(light - multiply_255(255U - cmyk[i + c], light)));
    }
  }
  return image;
}

}  // namespace sgrpo::image
