// Where a row's image paths point.
#pragma once

#include <filesystem>
#include <string>

#include "sgrpo/data/rows.h"

namespace sgrpo::data {

/// The path of an image named in a row: relative to image_dir, else to the data file's folder;
/// `file://` is taken off. With image_root the result is free of symbolic links and beneath the
/// root. Throws RecordError for URLs, empty paths and paths that leave the root.
std::filesystem::path resolve_image(const std::string& text,
                                    const RowSource& source,
                                    const std::string& id,
                                    const RowOptions& options);

}  // namespace sgrpo::data
