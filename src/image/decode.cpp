// OpenCV turns checked bytes into pixels; orientation, transparency and 16 bits are handled here,
// as Pillow does them. Free of torch.
#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "image/cmyk_jpeg.h"
#include "image/header.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

/// One channel of an opaque white pixel under a source of alpha `a`: Pillow's AlphaComposite.c,
/// bit for bit (7 extra bits, then a rounded division by 255).
uint8_t over_white(uint32_t value, uint32_t a) {
  constexpr uint32_t kBits = 7;
  const uint32_t sum = ((value * a + 255 * (255 - a)) << kBits) + (0x80U << kBits);
  return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> kBits);
}

/// Calls `pixel(source, target)` for every pixel of a mat with `channels` samples of type T.
template <class T, class Function>
RgbImage convert(const cv::Mat& mat, Function pixel) {
  RgbImage image{.width = mat.cols, .height = mat.rows, .rgb = {}};
  image.rgb.resize(static_cast<size_t>(image.width * image.height * 3));
  const int channels = mat.channels();
  uint8_t* target = image.rgb.data();
  for (int y = 0; y < mat.rows; ++y) {
    const T* source = mat.ptr<T>(y);
    for (int x = 0; x < mat.cols; ++x, source += channels, target += 3) pixel(source, target);
  }
  return image;
}

template <class T>
RgbImage composite(const cv::Mat& mat) {
  constexpr int kShift = sizeof(T) == 2 ? 8 : 0;  // Pillow keeps the high byte of 16-bit samples
  return convert<T>(mat, [](const T* bgra, uint8_t* rgb) {
    const uint32_t alpha = static_cast<uint32_t>(bgra[3] >> kShift);
    for (int c = 0; c < 3; ++c)
      rgb[c] = over_white(static_cast<uint32_t>(bgra[2 - c] >> kShift), alpha);
  });
}

RgbImage saturate_gray16(const cv::Mat& mat) {
  return convert<uint16_t>(mat, [](const uint16_t* gray, uint8_t* rgb) {
    std::fill(rgb, rgb + 3, static_cast<uint8_t>(std::min<uint16_t>(*gray, 255)));
  });
}

RgbImage swap_to_rgb(const cv::Mat& mat) {
  return convert<uint8_t>(
      mat, [](const uint8_t* bgr, uint8_t* rgb) { std::reverse_copy(bgr, bgr + 3, rgb); });
}

cv::Mat decode_pixels(std::string_view bytes, const ImageHeader& header, const std::string& where) {
  // One thread: OpenCV's pool must not compete with LibTorch's.
  static const bool is_single = (cv::setNumThreads(1), true);
  static_cast<void>(is_single);
  const int flags = header.has_alpha || header.is_gray16
                        ? cv::IMREAD_UNCHANGED
                        : cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION;
  cv::Mat mat;
  std::string reason = "the decoder found no image in it";
  try {
    mat = cv::imdecode(cv::_InputArray(reinterpret_cast<const uchar*>(bytes.data()),
                                       static_cast<int>(bytes.size())),
                       flags);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (mat.empty() || mat.cols != header.width || mat.rows != header.height) {
    throw core::UserError(core::str(where,
                                    ": is a damaged ",
                                    to_string(header.container),
                                    " of ",
                                    header.width,
                                    "x",
                                    header.height,
                                    " pixels: ",
                                    reason,
                                    "; copy or download the file again"));
  }
  return mat;
}

RgbImage to_rgb(const cv::Mat& mat, const ImageHeader& header, const std::string& where) {
  RgbImage image;
  switch (mat.type()) {
    case CV_8UC3: image = swap_to_rgb(mat); break;
    case CV_8UC4: image = composite<uint8_t>(mat); break;
    case CV_16UC4: image = composite<uint16_t>(mat); break;
    case CV_16UC1: image = saturate_gray16(mat); break;
    default: throw core::UserError(core::str(where, ": has an unsupported pixel layout"));
  }
  if (header.color_key) {
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      const auto first = image.rgb.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::equal(header.color_key->begin(), header.color_key->end(), first))
        std::fill(first, first + 3, uint8_t{255});
    }
  }
  return image;
}

/// Applies EXIF orientation 2..8: the pixel at (x, y) of the result comes from the source pixel
/// that the standard's table names.
RgbImage orient(const RgbImage& source, int orientation) {
  const bool is_turned = orientation >= 5;
  RgbImage result{.width = is_turned ? source.height : source.width,
                  .height = is_turned ? source.width : source.height,
                  .rgb = {}};
  result.rgb.resize(source.rgb.size());
  const bool flips_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flips_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  uint8_t* target = result.rgb.data();
  for (int64_t y = 0; y < result.height; ++y) {
    for (int64_t x = 0; x < result.width; ++x, target += 3) {
      int64_t from_x = is_turned ? y : x, from_y = is_turned ? x : y;
      if (flips_x) from_x = source.width - 1 - from_x;
      if (flips_y) from_y = source.height - 1 - from_y;
      std::copy_n(source.rgb.data() + 3 * (from_y * source.width + from_x), 3, target);
    }
  }
  return result;
}

}  // namespace

RgbImage decode_image(std::string_view bytes,
                      const std::string& where,
                      int64_t max_decoded_pixels) {
  const ImageHeader header = read_checked_header(bytes, where, max_decoded_pixels);
  RgbImage image = header.is_cmyk ? decode_cmyk_jpeg(bytes, where)
                                  : to_rgb(decode_pixels(bytes, header, where), header, where);
  const int orientation = read_orientation(header);
  return orientation == 1 ? image : orient(image, orientation);
}

}  // namespace sgrpo::image
