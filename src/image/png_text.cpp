#include "image/png_text.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>

#include "image/orientation.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::image {
namespace {

using std::string_view_literals::operator""sv;

constexpr auto kRawExif = "Raw profile type exif"sv, kXmp = "XML:com.adobe.xmp"sv;
constexpr size_t kMaxTextBytes = size_t{1} << 20;  // Pillow's MAX_TEXT_CHUNK

bool matters(std::string_view keyword) { return keyword == kRawExif || keyword == kXmp; }

/// The text before the first NUL; `data` keeps what follows it, nothing without one.
std::string_view take_field(std::string_view& data) {
  const size_t end = std::min(data.find('\0'), data.size());
  const std::string_view field = data.substr(0, end);
  data.remove_prefix(std::min(end + 1, data.size()));
  return field;
}

/// A zlib stream's content; nothing if it is damaged.
std::optional<std::string> unpack(std::string_view packed) {
  std::string text(kMaxTextBytes + 1, '\0');
  uLongf size = text.size();
  const auto* bytes = reinterpret_cast<const Bytef*>(packed.data());
  const int code = ::uncompress(reinterpret_cast<Bytef*>(text.data()), &size, bytes, packed.size());
  if (code == Z_BUF_ERROR && size > kMaxTextBytes)
    throw core::UserError("has a text chunk that unpacks to more than 1 MiB; save it again");
  if (code != Z_OK) return std::nullopt;
  text.resize(size);
  text.shrink_to_fit();
  return text;
}

/// "\nexif\n    1234\n45786966...": the bytes behind three line ends, as hex digits in lines.
std::string decode_raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  std::string digits;
  for (const char c : text)
    if (std::isspace(static_cast<unsigned char>(c)) == 0) digits += c;
  if (digits.size() % 2 != 0 || digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos)
    return "";
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

void PngTexts::add(std::string_view name, std::string_view data) {
  if (name == "eXIf") {
    exif_ = data;
  } else if (name == "iTXt") {
    add_international(data);
  } else if (name == "tEXt") {
    const std::string_view keyword = take_field(data);
    if (keyword == "exif") exif_ = data;
    if (matters(keyword)) add_text(keyword, std::string(data));
  } else if (name == "zTXt") {
    const std::string_view keyword = take_field(data);
    constexpr size_t kMethod = 1;  // the only method is deflate
    if (matters(keyword) && data.size() > kMethod)
      add_text(keyword, unpack(data.substr(kMethod)).value_or(""));
  }
}

void PngTexts::add_text(std::string_view keyword, std::string text) {
  texts_.insert_or_assign(std::string(keyword), std::move(text));
}

/// Keyword, two bytes (packed or not, method), language, translated keyword, text.
void PngTexts::add_international(std::string_view data) {
  const std::string_view keyword = take_field(data);
  if (!matters(keyword) || data.size() < 2) return;
  const bool is_packed = data[0] != 0;
  if (is_packed && data[1] != 0) return;
  data.remove_prefix(2);
  if (data.find('\0') == data.npos || data.find('\0', data.find('\0') + 1) == data.npos) return;
  take_field(data);
  take_field(data);
  const std::optional<std::string> text = is_packed ? unpack(data) : std::string(data);
  if (!text) return;
  if (keyword == kXmp) xmp_packet_ = *text;
  if (core::is_valid_utf8(*text)) add_text(keyword, *text);
}

int PngTexts::orientation() const {
  std::string exif = exif_.value_or("");
  if (const auto raw = texts_.find(kRawExif); !exif_ && raw != texts_.end())
    exif = decode_raw_profile(raw->second);
  const auto xmp = texts_.find(kXmp);
  const bool has_text = xmp != texts_.end() && !xmp->second.empty();
  return find_orientation(exif, has_text ? xmp->second : xmp_packet_);
}

}  // namespace sgrpo::image
