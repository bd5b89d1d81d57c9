// What a PNG's text chunks tell of its orientation.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sgrpo::image {

/// Gathers eXIf, tEXt, zTXt and iTXt chunks as Pillow does: of two with one keyword the later
/// counts, wherever in the file they stand. Damaged text counts as none.
class PngTexts {
 public:
  /// A chunk by its name and data; those of other names are passed over. Throws core::UserError
  /// (bare reason) for orientation data that unpacks to more than 1 MiB, where Pillow gives up.
  void add(std::string_view name, std::string_view data);

  /// 1..8. EXIF comes from eXIf, else from the hex text "Raw profile type exif" of older
  /// ImageMagick; XMP counts where that names no orientation.
  int orientation() const;

 private:
  void add_text(std::string_view keyword, std::string text);
  void add_international(std::string_view data);

  std::optional<std::string> exif_;
  std::map<std::string, std::string, std::less<>> texts_;  // of the two keywords that matter
  std::string xmp_packet_;                                 // an iTXt packet, whatever its encoding
};

}  // namespace sgrpo::image
