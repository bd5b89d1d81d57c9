// How a row names its pictures, and where that points.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sgrpo/core/json.h"
#include "sgrpo/data/rows.h"

namespace sgrpo::data {

/// Keys of an object that may hold an image, in transformers' order.
inline constexpr const char* kImageKeys[] = {"image", "url", "path", "base64", "image_url"};

/// An image as a row writes it. The text belongs to the row's JSON.
struct ImageEntry {
  std::optional<std::string_view> text = {};  // nothing: the row's list of images has it
  bool is_base64 = false;                     // said to be; other texts are looked at
  ImageLimits limits = {};

  bool operator==(const ImageEntry&) const = default;
};

/// Reads a path, URI or base64 text, or an object: an image part, OpenAI's {"url"}, or {"bytes",
/// "path"} as data sets store it (the bytes count). Two keys that differ, and half of a size, are
/// refused. `what` names the value in messages. Throws core::UserError with the bare reason.
ImageEntry read_image_entry(const core::Json& value, const std::string& what);

/// The picture that an entry means: the bytes of a `data:` URI or of base64 text, else a file,
/// `file://` taken off, `~` and `$HOME` expanded, relative to image_dir, else to the data file's
/// folder. With image_root a path is free of symbolic links and beneath the root. `number` counts
/// the row's pictures from 1. Throws core::UserError with the bare reason for web addresses, broken
/// base64, empty paths and paths that leave the root.
ImageSource resolve_image(const ImageEntry& entry,
                          int64_t number,
                          const RowSource& source,
                          const RowOptions& options);

}  // namespace sgrpo::data
