// How many terminal columns a text takes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sgrpo::telemetry {

/// Columns of a code point: 0 for combining marks and joiners, 2 for East Asian wide ones and
/// emoji, else 1.
size_t code_point_width(char32_t code);

/// Columns of a UTF-8 text (ill-formed bytes count as one column each).
size_t display_width(std::string_view text);

/// `text` itself if it fits `columns`, else its beginning with an ellipsis in the last column.
std::string cut_to_width(std::string_view text, size_t columns);

/// `text` cut and padded with spaces to exactly `columns`; `right` aligns it to the right.
std::string fit_to_width(std::string_view text, size_t columns, bool right = false);

}  // namespace sgrpo::telemetry
