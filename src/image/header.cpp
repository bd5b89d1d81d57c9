#include "image/header.h"

#include <utility>
#include <vector>

#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

using core::starts_with;
using std::string_view_literals::operator""sv;

/// What a file that is none of the four containers probably is.
std::string foreign_name(std::string_view bytes) {
  static const std::vector<std::pair<std::string_view, std::string>> kMagic = {
      {"%PDF"sv, "a PDF document"},
      {"GIF8"sv, "a GIF image"},
      {"II*\0"sv, "a TIFF image"},
      {"MM\0*"sv, "a TIFF image"},
      {"8BPS"sv, "a Photoshop image"},
      {"\xFF\x0A"sv, "a JPEG XL image"},
      {"\0\0\0\x0CJXL "sv, "a JPEG XL image"},
      {"\0\0\0\x0CjP  "sv, "a JPEG 2000 image"},
      {"\xFF\x4F\xFF\x51"sv, "a JPEG 2000 image"},
      {"\0\0\1\0"sv, "an icon"},
      {"PK\3\4"sv, "a ZIP archive"},
      {"\x1F\x8B"sv, "a gzip file"},
      {"\x93NUMPY"sv, "a NumPy array"},
      {"version https://git-lfs"sv, "a Git LFS pointer (run `git lfs pull`)"},
      {"<svg"sv, "an SVG drawing"},
      {"<?xml"sv, "an XML document"},
      {"<!DOCTYPE"sv, "an HTML page"},
      {"<!doctype"sv, "an HTML page"},
      {"<html"sv, "an HTML page"},
  };
  for (const auto& [magic, name] : kMagic) {
    if (starts_with(bytes, magic)) return name;
  }
  if (bytes.size() >= 12 && bytes.substr(4, 4) == "ftyp") {
    const std::string_view brand = bytes.substr(8, 4);
    if (starts_with(brand, "avi")) return "an AVIF image";
    if (starts_with(brand, "hei") || starts_with(brand, "hev") || brand == "mif1")
      return "a HEIC image";
    return "an MP4 video";
  }
  return core::str("of an unknown kind (it begins with '", core::printable(bytes, 16), "')");
}

}  // namespace

std::string_view to_string(Container container) {
  switch (container) {
    case Container::kJpeg: return "JPEG";
    case Container::kPng: return "PNG";
    case Container::kWebp: return "WebP";
    case Container::kBmp: return "BMP";
  }
  return "";
}

ImageHeader read_header(std::string_view bytes, const std::string& where) {
  const Bytes file(bytes, where);
  if (bytes.empty()) file.fail("is empty (0 bytes); copy or download the file again");
  const auto refuse = [&](const std::string& name) {
    file.fail("is ", name, ", expected a JPEG, PNG, WebP or BMP image; convert or replace it");
  };
  // A DICOM file may carry anything in its first 128 bytes, another container's magic included.
  if (bytes.size() >= 132 && bytes.substr(128, 4) == "DICM") refuse("a DICOM file");
  if (starts_with(bytes, "\xFF\xD8\xFF"sv)) return read_jpeg_header(file);
  if (starts_with(bytes, "\x89PNG\r\n\x1A\n"sv)) return read_png_header(file);
  if (starts_with(bytes, "RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP")
    return read_webp_header(file);
  if (starts_with(bytes, "BM"sv)) return read_bmp_header(file);
  refuse(foreign_name(bytes));
  return {};
}

}  // namespace sgrpo::image
