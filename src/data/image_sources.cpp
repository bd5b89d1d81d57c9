#include "data/image_sources.h"

#include <algorithm>
#include <cctype>

#include "data/describe.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

namespace fs = std::filesystem;
using core::Json;
using core::str;
using core::UserError;
using std::string_view_literals::operator""sv;

// ------------------------------------------------------------------ what is written

/// The value of the one key that holds an image; null if none does.
const Json* find_image(const Json& object, const std::string& what) {
  const Json* found = nullptr;
  const char* name = "";
  for (const char* key : kImageKeys) {
    const Json* value = core::find(object, key);
    if (value == nullptr) continue;
    if (found != nullptr && *found != *value)
      throw UserError(str(what, " has '", name, "' and '", key, "', which differ; keep one"));
    found = value;
    name = key;
  }
  return found;
}

ImageLimits read_limits(const Json& object, const std::string& what) {
  constexpr int64_t kMostPixels = 1'000'000'000;
  const auto read = [&](const char* key) -> std::optional<int64_t> {
    if (core::find(object, key) == nullptr) return std::nullopt;
    return core::get_int(object, key, what, 1, kMostPixels);
  };
  const ImageLimits limits{.min_pixels = read("min_pixels"),
                           .max_pixels = read("max_pixels"),
                           .resized_height = read("resized_height"),
                           .resized_width = read("resized_width")};
  if (limits.resized_height.has_value() != limits.resized_width.has_value())
    throw UserError(str(what, " has only one of 'resized_height' and 'resized_width'; give both"));
  return limits;
}

ImageEntry read_text(const Json& value, const std::string& what) {
  if (!value.is_string())
    throw UserError(str(what, " holds ", kind_of(value), ", expected a path"));
  return {.text = value.get_ref<const std::string&>()};
}

// ------------------------------------------------------------------ where it points

/// Bytes that begin as an image does whose base64 text people put into rows.
bool begins_as_image(std::string_view bytes) {
  for (const auto magic : {"\xFF\xD8\xFF"sv, "\x89PNG\r\n"sv, "GIF8"sv, "II*\0"sv, "MM\0*"sv})
    if (core::starts_with(bytes, magic)) return true;
  if (core::starts_with(bytes, "RIFF")) return bytes.substr(0, 16).substr(8, 4) == "WEBP";
  if (!core::starts_with(bytes, "BM") || bytes.size() < 6) return false;
  size_t size = 0;  // a bitmap names its own, least byte first
  for (size_t i = 0; i < 4; ++i) size |= size_t{static_cast<uint8_t>(bytes[2 + i])} << 8 * i;
  return size == bytes.size();
}

/// The bytes of a text that is an image's base64 and no path. One letter in ten of a path of this
/// length would be a dot, a dash or an underscore.
std::optional<std::string> bytes_in_text(std::string_view text) {
  constexpr size_t kShortestImage = 40, kLongestPlainPath = 255;
  if (text.size() < kShortestImage) return std::nullopt;
  std::optional<std::string> bytes = core::decode_base64(text);
  if (bytes && text.size() <= kLongestPlainPath && !begins_as_image(*bytes)) bytes.reset();
  return bytes;
}

/// "https" of "https://...", "" without a scheme.
std::string scheme_of(std::string_view text) {
  const size_t end = text.find("://");
  if (end == text.npos || end > 10) return "";
  const bool is_word =
      std::all_of(text.begin(), text.begin() + static_cast<int64_t>(end), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0;
      });
  return is_word ? std::string(text.substr(0, end)) : "";
}

/// Whether `path` has `root` as its first components; both canonical.
bool is_beneath(const fs::path& path, const fs::path& root) {
  const auto [in_root, in_path] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return in_root == root.end() && in_path != path.end();
}

/// Links are followed here and nowhere later: the record keeps the resolved path.
fs::path resolve_beneath(const fs::path& path, const fs::path& root_option, std::string_view name) {
  std::error_code error;
  const fs::path root = fs::canonical(root_option, error);
  if (error) {
    throw UserError(
        str("data.image_root '", root_option.string(), "' cannot be opened: ", error.message()));
  }
  const fs::path resolved = fs::weakly_canonical(fs::absolute(path), error);
  if (!error && is_beneath(resolved, root)) return resolved;
  throw UserError(str("image '",
                      core::printable(name),
                      "' lies outside data.image_root '",
                      root_option.string(),
                      "'; move it or change the root"));
}

/// The path of a file URI: its bytes as they stand where a file has that name, else unescaped.
std::string path_of_uri(std::string_view uri) {
  std::string path(uri.substr("file://"sv.size()));
  if (core::starts_with(path, "localhost/")) path.erase(0, "localhost"sv.size());
  std::error_code error;
  if (path.find('%') == path.npos || fs::exists(path, error)) return path;
  std::string plain;
  for (size_t i = 0; i < path.size(); ++i) {
    const std::string digits = path[i] == '%' ? path.substr(i + 1, 2) : "";
    const bool is_escape = digits.size() == 2 &&
                           std::isxdigit(static_cast<unsigned char>(digits[0])) &&
                           std::isxdigit(static_cast<unsigned char>(digits[1]));
    plain += is_escape ? static_cast<char>(std::stoi(digits, nullptr, 16)) : path[i];
    i += is_escape ? 2 : 0;
  }
  return plain;
}

fs::path resolve_path(std::string_view text, const RowSource& source, const RowOptions& options) {
  const std::string scheme = scheme_of(text);
  if (!scheme.empty() && scheme != "file")
    throw UserError(
        str("image '", core::printable(text), "' is a URL, expected a path; download it first"));
  const std::string name = scheme == "file" ? path_of_uri(text) : std::string(text);
  if (name.empty()) throw UserError("an image path is empty; name a file");
  constexpr size_t kLongestPath = 4096;
  if (name.size() > kLongestPath)
    throw UserError(str("an image is a text of ",
                        name.size(),
                        " characters that is neither a path nor base64 ('",
                        core::printable(name, 40),
                        "')"));
  if (name.find('\0') != name.npos) throw UserError("an image path contains a NUL character");
  fs::path path = core::expand_home(name);
  if (path.is_relative())
    path = (options.image_dir ? *options.image_dir : fs::path(source.file).parent_path()) / path;
  return options.image_root ? resolve_beneath(path, *options.image_root, name) : path;
}

/// The bytes that a row holds itself; nothing where the text is a path.
std::optional<std::string> find_bytes(const ImageEntry& entry, const std::string& name) {
  std::string_view text = *entry.text;
  const bool is_uri = core::starts_with(text, "data:");
  if (!is_uri && !entry.is_base64) return bytes_in_text(text);
  if (is_uri) {
    const size_t comma = std::min(text.find(','), text.size());
    if (!core::ends_with(text.substr(0, comma), ";base64") || comma == text.size())
      throw UserError(str(name,
                          " is a data: URI without base64 ('",
                          core::printable(text, 40),
                          "'), expected data:image/png;base64,..."));
    text.remove_prefix(comma + 1);
  }
  std::optional<std::string> bytes = core::decode_base64(text);
  if (!bytes || bytes->empty())
    throw UserError(str(name, " is no base64 text (", text.size(), " characters)"));
  return bytes;
}

}  // namespace

ImageEntry read_image_entry(const Json& value, const std::string& what) {
  if (!value.is_object()) return read_text(value, what);
  ImageEntry entry;
  if (const Json* bytes = core::find(value, "bytes"); bytes != nullptr) {
    if (!bytes->is_string())
      throw UserError(
          str(what, "'s 'bytes' is ", kind_of(*bytes), ", expected base64 text or null"));
    entry = {.text = bytes->get_ref<const std::string&>(), .is_base64 = true};
  } else if (const Json* image = find_image(value, what); image != nullptr) {
    entry = read_image_entry(*image, what);
    entry.is_base64 = entry.is_base64 || image == core::find(value, "base64");
  }
  const ImageLimits own = read_limits(value, what);
  if (own != ImageLimits{}) entry.limits = own;
  return entry;
}

ImageSource resolve_image(const ImageEntry& entry,
                          int64_t number,
                          const RowSource& source,
                          const RowOptions& options) {
  ImageSource image{.number = number, .limits = entry.limits};
  if (auto bytes = find_bytes(entry, str("the row's image ", number))) {
    image.bytes = std::make_shared<const std::string>(std::move(*bytes));
  } else {
    image.path = resolve_path(*entry.text, source, options);
  }
  return image;
}

}  // namespace sgrpo::data
