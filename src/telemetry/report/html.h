// Text pieces of the page.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sgrpo::telemetry::report {

/// Valid UTF-8 with & < > " ' and control characters made harmless, for text and attributes.
std::string escape(std::string_view text);

/// For reading: "0.813", "0.0042", "12.3", "12,345", "1.20e-5"; a dash if not finite.
std::string number(double value);

/// A coordinate of an SVG path, one decimal.
std::string coordinate(double value);

/// RFC 4648 base64 with padding.
std::string base64(std::string_view bytes);

/// An id for anchors: letters and digits, "-" for the rest.
std::string anchor(std::string_view title);

}  // namespace sgrpo::telemetry::report
