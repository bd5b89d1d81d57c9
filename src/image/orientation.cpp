#include "image/orientation.h"

#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

using core::starts_with;
using std::string_view_literals::operator""sv;

/// The tag's value, 1 for one that means nothing; nothing without the tag.
std::optional<int> orientation_of_tiff(std::string_view tiff) {
  for (int i = 0; i < 2; ++i)  // Pillow takes off two prefixes, too
    if (starts_with(tiff, "Exif\0\0"sv)) tiff.remove_prefix(6);
  if (tiff.size() < 8 || !(starts_with(tiff, "II") || starts_with(tiff, "MM"))) return std::nullopt;
  const bool little = tiff[0] == 'I';
  const auto number = [&](uint64_t at, uint64_t count) {  // 0 beyond the end
    uint64_t value = 0;
    for (uint64_t i = 0; i < count && at + count <= tiff.size(); ++i) {
      const uint64_t byte = static_cast<uint8_t>(tiff[at + i]);
      value |= byte << 8 * (little ? i : count - 1 - i);
    }
    return value;
  };
  const uint64_t directory = number(4, 4);
  const uint64_t entries = number(directory, 2);
  constexpr uint64_t kOrientation = 0x0112, kLong = 4;
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) break;
    if (number(entry, 2) != kOrientation) continue;
    const uint64_t value = number(entry + 8, number(entry + 2, 2) == kLong ? 4 : 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return std::nullopt;
}

/// The first digit after tiff:Orientation=" or tiff:Orientation>.
int orientation_of_xmp(std::string_view xmp) {
  constexpr std::string_view kAttribute = "tiff:Orientation";
  for (size_t at = xmp.find(kAttribute); at != std::string_view::npos;
       at = xmp.find(kAttribute, at + 1)) {
    std::string_view rest = xmp.substr(at + kAttribute.size());
    const size_t size = starts_with(rest, "=\"") ? 2 : starts_with(rest, ">") ? 1 : 0;
    rest.remove_prefix(size);
    if (size == 0 || rest.empty() || rest[0] < '0' || rest[0] > '9') continue;
    return rest[0] >= '1' && rest[0] <= '8' ? rest[0] - '0' : 1;
  }
  return 1;
}

}  // namespace

int find_orientation(std::string_view exif, std::string_view xmp) {
  const std::optional<int> tag = orientation_of_tiff(exif);
  return tag ? *tag : orientation_of_xmp(xmp);
}

}  // namespace sgrpo::image
