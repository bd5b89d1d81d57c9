// Checked bytes -> pixels: TurboJPEG and our own bitmap reader for these two containers, OpenCV for
// PNG and WebP; orientation, transparency and 16 bits as Pillow does them. Free of torch.
#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "image/allocate.h"
#include "image/bmp.h"
#include "image/decode.h"
#include "image/jpeg_decode.h"
#include "image/over_white.h"
#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

/// Calls `pixel(source, target)` for every pixel of a mat with `channels` samples of type T.
template <class T, class Function>
RgbImage convert(const cv::Mat& mat, Function pixel) {
  RgbImage image{.width = mat.cols, .height = mat.rows, .rgb = {}};
  allocate(image);
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

[[noreturn]] void fail_damaged(const ImageHeader& header,
                               const std::string& where,
                               const std::string& reason) {
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

/// Decodes into `mat`, which keeps its memory where size and type are the file's.
void decode_into(cv::Mat& mat,
                 std::string_view bytes,
                 int flags,
                 const ImageHeader& header,
                 const std::string& where) {
  // One thread: OpenCV's pool must not compete with LibTorch's.
  static const bool is_single = (cv::setNumThreads(1), true);
  static_cast<void>(is_single);
  cv::Mat found;
  try {
    const cv::_InputArray input(reinterpret_cast<const uchar*>(bytes.data()),
                                static_cast<int>(bytes.size()));
    found = cv::imdecode(input, flags, &mat);
  } catch (const cv::Exception& error) {
    fail_damaged(header, where, error.err);
  }
  if (found.empty() || found.cols != header.width || found.rows != header.height)
    fail_damaged(header, where, "the decoder found no image in it");
}

/// 8-bit colours without alpha, decoded in place.
RgbImage decode_plain(std::string_view bytes, const ImageHeader& header, const std::string& where) {
  RgbImage image{.width = header.width, .height = header.height, .rgb = {}};
  allocate(image);
  cv::Mat mat(
      static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3, image.rgb.data());
  decode_into(mat, bytes, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION, header, where);
  if (mat.data != image.rgb.data()) fail_damaged(header, where, "unexpected pixel layout");
  for (size_t i = 0; i < image.rgb.size(); i += 3) std::swap(image.rgb[i], image.rgb[i + 2]);
  return image;
}

/// Alpha channels and 16-bit gray.
RgbImage decode_special(std::string_view bytes,
                        const ImageHeader& header,
                        const std::string& where) {
  cv::Mat mat;
  decode_into(mat, bytes, cv::IMREAD_UNCHANGED, header, where);
  switch (mat.type()) {
    case CV_8UC4: return composite<uint8_t>(mat);
    case CV_16UC4: return composite<uint16_t>(mat);
    case CV_16UC1: return saturate_gray16(mat);
    default: fail_damaged(header, where, "unexpected pixel layout");
  }
}

/// PNG or a still WebP.
RgbImage decode_by_opencv(std::string_view bytes,
                          const ImageHeader& header,
                          const std::string& where) {
  RgbImage image = header.has_alpha || header.is_gray16 ? decode_special(bytes, header, where)
                                                        : decode_plain(bytes, header, where);
  if (!header.color_key) return image;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    const auto first = image.rgb.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::equal(header.color_key->begin(), header.color_key->end(), first))
      std::fill(first, first + 3, uint8_t{255});
  }
  return image;
}

std::string le_bytes(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> 8 * i & 0xFF);
  return bytes;
}

/// A frame as a still file of its own: alpha of a lossy frame needs the extended header.
std::string still_webp(const WebpFrame& frame) {
  std::string chunks(frame.chunks);
  if (frame.has_alpha && core::starts_with(chunks, "ALPH")) {
    constexpr char kAlpha = 0x10;
    chunks = "VP8X" + le_bytes(10, 4) + kAlpha + le_bytes(0, 3) +
             le_bytes(static_cast<uint64_t>(frame.width - 1), 3) +
             le_bytes(static_cast<uint64_t>(frame.height - 1), 3) + chunks;
  }
  return "RIFF" + le_bytes(chunks.size() + 4, 4) + "WEBP" + chunks;
}

/// An animation as Pillow opens it: its first frame on an empty canvas.
RgbImage decode_first_frame(const ImageHeader& header, const std::string& where) {
  const WebpFrame& frame = *header.frame;
  ImageHeader own{.container = Container::kWebp, .width = frame.width, .height = frame.height};
  own.has_alpha = frame.has_alpha && header.has_alpha;
  const RgbImage part = decode_by_opencv(still_webp(frame), own, where);
  RgbImage image{.width = header.width, .height = header.height, .rgb = {}};
  const uint8_t background = header.has_alpha ? 255 : 0;  // transparent, or the decoder's zeros
  image.rgb.assign(static_cast<size_t>(image.width * image.height * 3), background);
  for (int64_t y = 0; y < part.height; ++y) {
    std::copy_n(part.rgb.data() + 3 * y * part.width,
                3 * part.width,
                image.rgb.data() + 3 * ((frame.y + y) * image.width + frame.x));
  }
  return image;
}

/// A PNG without the chunks that no pixel depends on.
std::string lean_png(const ImageHeader& header) {
  std::string bytes = "\x89PNG\r\n\x1A\n";
  for (const std::string_view chunk : header.png_chunks) bytes += chunk;
  return bytes;
}

RgbImage decode_container(std::string_view bytes,
                          const ImageHeader& header,
                          const std::string& where) {
  if (header.container == Container::kJpeg) return decode_jpeg(bytes, header, where);
  if (header.container == Container::kBmp) return decode_bmp(bytes, where);
  if (header.frame) return decode_first_frame(header, where);
  if (!header.png_chunks.empty()) return decode_by_opencv(lean_png(header), header, where);
  return decode_by_opencv(bytes, header, where);
}

/// Applies EXIF orientation 2..8: the pixel at (x, y) of the result comes from the source pixel
/// that the standard's table names.
RgbImage orient(const RgbImage& source, int orientation) {
  const bool is_turned = orientation >= 5;
  RgbImage result{.width = is_turned ? source.height : source.width,
                  .height = is_turned ? source.width : source.height,
                  .rgb = {}};
  allocate(result);
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

RgbImage decode_checked(std::string_view bytes,
                        const ImageHeader& header,
                        const std::string& where) {
  RgbImage image = decode_container(bytes, header, where);
  const int orientation = header.orientation;
  return orientation == 1 ? image : orient(image, orientation);
}

}  // namespace sgrpo::image
