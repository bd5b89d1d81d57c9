// Image files as parts of the page.
#pragma once

#include <string>

#include "sgrpo/types/prompt_record.h"

namespace sgrpo::telemetry::report {

/// One image, or why it cannot be shown.
struct Picture {
  std::string data_uri;       // empty if there is a problem
  std::string problem;        // "missing", "12.3 MB, too large to embed", "not an image"
  int width = 0, height = 0;  // pixels; 0 if the header does not tell
};

/// Reads PNG, JPEG, WebP or BMP, told by the first bytes. Never throws.
Picture load_picture(const ImageSource& source, size_t max_bytes);

}  // namespace sgrpo::telemetry::report
