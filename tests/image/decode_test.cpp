// Decoding against Pillow's bytes (tests/golden/image), and the refusal of everything damaged.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>

#include "image_files.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

std::string sha(const std::vector<uint8_t>& bytes) {
  return core::sha256_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string decode_error(const std::string& bytes) {
  return testing::message_of([&] { decode_image(bytes, "a/b.png"); });
}

void put_be32(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

TEST(DecodeImage, decode_every_golden_gives_pillows_bytes) {
  for (const core::Json& row : golden_rows("index.jsonl")) {
    const std::string file = core::get_string(row, "file", "index");
    const RgbImage image = decode_image(golden_bytes(file), file);
    EXPECT_EQ(image.height, core::get_int(row, "height", file)) << file;
    EXPECT_EQ(image.width, core::get_int(row, "width", file)) << file;
    EXPECT_EQ(sha(image.rgb), core::get_string(row, "rgb", file)) << file;
  }
}

TEST(DecodeImage, decode_empty_file_says_so) {
  EXPECT_EQ(decode_error(""), "a/b.png: is empty (0 bytes); copy or download the file again");
}

TEST(DecodeImage, decode_foreign_file_is_named) {
  const std::string tail = ", expected a JPEG, PNG, WebP or BMP image; convert or replace it";
  EXPECT_EQ(decode_error("%PDF-1.7\n..."), "a/b.png: is a PDF document" + tail);
  EXPECT_EQ(decode_error("GIF89a......"), "a/b.png: is a GIF image" + tail);
  EXPECT_EQ(decode_error("version https://git-lfs.github.com/spec/v1\n"),
            "a/b.png: is a Git LFS pointer (run `git lfs pull`)" + tail);
  EXPECT_EQ(decode_error(std::string("\0\0\0\x1C"
                                     "ftypavif....",
                                     16)),
            "a/b.png: is an AVIF image" + tail);
  EXPECT_EQ(decode_error("hello\nworld"),
            "a/b.png: is of an unknown kind (it begins with 'hello\\nworld')" + tail);
}

TEST(DecodeImage, decode_dicom_is_refused_whatever_it_begins_with) {
  std::string bytes = golden_bytes("rgb_420_96x64.jpg");
  bytes.replace(128, 4, "DICM");
  EXPECT_NE(decode_error(bytes).find("is a DICOM file"), std::string::npos);
}

TEST(DecodeImage, decode_every_cut_of_every_golden_is_refused) {
  for (const core::Json& row : golden_rows("index.jsonl")) {
    const std::string file = core::get_string(row, "file", "index");
    if (file == "rare_trailing.jpg") continue;  // complete before its tail
    const std::string bytes = golden_bytes(file);
    const size_t stride = std::max<size_t>(1, bytes.size() / 40);
    for (size_t size = 0; size < bytes.size(); size += stride) {
      EXPECT_THROW(decode_image(bytes.substr(0, size), file), core::UserError)
          << file << " cut to " << size;
    }
    EXPECT_THROW(decode_image(bytes.substr(0, bytes.size() - 1), file), core::UserError) << file;
  }
}

TEST(DecodeImage, decode_cut_jpeg_names_the_missing_end) {
  const std::string bytes = golden_bytes("rgb_500x350.jpg").substr(0, 30000);
  EXPECT_EQ(decode_error(bytes),
            "a/b.png: is truncated: the JPEG ends after 30000 bytes without its end marker; "
            "copy or download the file again");
}

TEST(DecodeImage, decode_cut_png_names_both_sizes) {
  const std::string bytes = golden_bytes("rgb_28x28.png").substr(0, 1000);
  EXPECT_EQ(decode_error(bytes).find("a/b.png: is truncated: it ends after 1000 bytes, its own "
                                     "header asks for at least 18"),
            0u);
}

TEST(DecodeImage, decode_png_with_flipped_bit_names_the_chunk) {
  std::string bytes = golden_bytes("rgb_28x28.png");
  bytes[200] = static_cast<char>(bytes[200] ^ 4);
  EXPECT_EQ(decode_error(bytes),
            "a/b.png: is damaged: PNG chunk 'IDAT' at byte 33 fails its checksum; "
            "copy or download the file again");
}

TEST(DecodeImage, decode_any_flipped_header_byte_never_crashes) {
  for (const std::string file :
       {"rgb_28x28.png", "rgb_420_96x64.jpg", "rgb_lossy_77x90.webp", "rare_bgra.bmp"}) {
    const std::string good = golden_bytes(file);
    for (size_t at = 0; at < std::min<size_t>(good.size(), 64); ++at) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(~bytes[at]);
      try {
        const RgbImage image = decode_image(bytes, file);
        EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width * image.height * 3));
      } catch (const core::UserError& error) {
        EXPECT_TRUE(core::starts_with(error.what(), file + ": ")) << error.what();
      }
    }
  }
}

TEST(DecodeImage, decode_header_bomb_is_refused_before_decoding) {
  std::string jpeg = golden_bytes("rgb_420_96x64.jpg");
  const size_t frame = jpeg.find("\xFF\xC0");
  jpeg.replace(frame + 5, 4, "\x75\x30\x75\x30");  // 30000 x 30000
  EXPECT_EQ(decode_error(jpeg),
            "a/b.png: declares 30000x30000 pixels, at most 178956970 are decoded; "
            "shrink the image");
  std::string bmp = golden_bytes("rare_top_down.bmp");
  bmp.replace(18, 4, std::string("\xFF\xFF\xFF\x7F", 4));
  EXPECT_NE(decode_error(bmp).find("is truncated"), std::string::npos);
}

TEST(DecodeImage, decode_more_pixels_than_the_bytes_can_hold_is_refused) {
  std::string jpeg = golden_bytes("rgb_420_96x64.jpg");
  jpeg.replace(jpeg.find("\xFF\xC0") + 5, 4, "\x32\xC8\x32\xC8");  // 13000 x 13000
  EXPECT_EQ(decode_error(jpeg),
            "a/b.png: is damaged: 13000x13000 pixels cannot come from 2700 bytes; replace it");
}

TEST(DecodeImage, decode_above_the_callers_limit_is_refused) {
  const std::string bytes = golden_bytes("rgb_28x28.png");
  EXPECT_NO_THROW(decode_image(bytes, "x", 28 * 28));
  EXPECT_EQ(testing::message_of([&] { decode_image(bytes, "x", 28 * 28 - 1); }),
            "x: declares 28x28 pixels, at most 783 are decoded; shrink the image");
}

TEST(DecodeImage, decode_zero_sized_png_is_refused) {
  std::string bytes = golden_bytes("rgb_28x28.png");
  put_be32(bytes, 16, 0);
  put_be32(bytes, 29, 0x68A3E9B4);  // IHDR's checksum no longer holds: damage is noticed either way
  EXPECT_NE(decode_error(bytes).find("is damaged"), std::string::npos);
}

TEST(DecodeImage, decode_animated_webp_without_frames_is_refused) {
  std::string bytes = golden_bytes("rare_lossy_alpha.webp");
  ASSERT_EQ(bytes.substr(12, 4), "VP8X");
  bytes[20] = static_cast<char>(bytes[20] | 0x02);
  EXPECT_EQ(decode_error(bytes), "a/b.png: is damaged: a WebP without image data");
}

TEST(DecodeImage, decode_progressive_jpeg_of_thousands_of_scans_is_refused) {
  std::string bytes = golden_bytes("rgb_progressive_110x83.jpg");
  const size_t scan = bytes.rfind("\xFF\xDA"), end = bytes.rfind("\xFF\xD9");
  const std::string last = bytes.substr(scan, end - scan);
  std::string bomb = bytes.substr(0, end);
  for (int i = 0; i < 2000; ++i) bomb += last;
  EXPECT_NE(decode_error(bomb + "\xFF\xD9").find("is a damaged JPEG of 110x83 pixels: "),
            std::string::npos);
}

/// A lossless WebP of one colour, whatever its size: 38 bytes, every code of it has one symbol, and
/// no bits.
std::string flat_webp(uint32_t width, uint32_t height) {
  std::string bytes(
      "RIFF\x1E\0\0\0WEBPVP8L\x12\0\0\0\x2F\0\0\0\0"
      "\x28\x72\x15\xEA\xD1\xFF\x00\x00\x00\x00\x00\x00\x00",
      38);
  const uint32_t size = (width - 1) | (height - 1) << 14;
  for (size_t i = 0; i < 4; ++i) bytes[21 + i] = static_cast<char>(size >> 8 * i);
  return bytes;
}

TEST(DecodeImage, decode_few_bytes_of_many_pixels_is_refused) {
  EXPECT_EQ(decode_image(flat_webp(100, 50), "x").rgb.size(), 15000U);
  EXPECT_EQ(decode_error(flat_webp(10000, 10000)),
            "a/b.png: declares 10000x10000 pixels in 38 bytes: decoding would take 1049 MiB for a "
            "picture without content; shrink or replace it");
  EXPECT_EQ(decode_error(flat_webp(16384, 16384)),
            "a/b.png: declares 16384x16384 pixels, at most 178956970 are decoded; shrink the "
            "image");
}

/// Bytes of the process's memory, at their most.
int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

TEST(DecodeImage, decode_38_bytes_costs_less_than_64_mebibytes) {
  decode_image(flat_webp(16, 16), "x");
  const int64_t before = peak_bytes();
  uint32_t side = 16383;
  for (; side > 1; --side) {  // the largest that is decoded
    try {
      read_checked_header(flat_webp(side, side), "x", kMaxDecodedPixels);
      break;
    } catch (const core::UserError&) {
    }
  }
  EXPECT_EQ(decode_image(flat_webp(side, side), "x").width, side);
  EXPECT_GT(side, 1000U);
  EXPECT_LT(peak_bytes() - before, int64_t{64} << 20);
}

TEST(DecodeImage, decode_jpeg_with_damaged_data_is_refused) {
  const std::string good = golden_bytes("rgb_500x350.jpg");
  const size_t scan = good.find("\xFF\xDA") + 14;
  EXPECT_EQ(
      decode_error(good.substr(0, good.size() / 2) + "\xFF\xD9"),
      "a/b.png: is a damaged JPEG of 500x350 pixels: Corrupt JPEG data: premature end of data "
      "segment; copy or download the file again");
  int refused = 0, tried = 0;
  for (size_t at = scan; at + 2 < good.size(); at += good.size() / 200) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    ++tried;
    try {
      decode_image(bytes, "x");
    } catch (const core::UserError&) {
      ++refused;
    }
  }
  // Most flips leave a whole picture of other colours, which cannot be told from one.
  EXPECT_GT(8 * refused, tried) << refused << " of " << tried;
}

TEST(DecodeImage, decode_jpeg_with_filling_before_its_end_is_no_damage) {
  const std::string good = golden_bytes("rgb_420_96x64.jpg");
  const std::string filled = good.substr(0, good.size() - 2) + std::string(50, '\0') + "\xFF\xD9";
  EXPECT_EQ(decode_image(filled, "x").rgb, decode_image(good, "x").rgb);
}

TEST(DecodeImage, decode_one_pixel_works) {
  const RgbImage image = decode_image(golden_bytes("rgb_1x1.png"), "one");
  EXPECT_EQ(image.rgb.size(), 3u);
}

}  // namespace
}  // namespace sgrpo::image
