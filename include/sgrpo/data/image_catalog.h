// The image files of a data set, each looked at once however many rows name it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/image/image_size.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::data {

/// How closely images are looked at.
enum class ImageCheck {
  kNone,    // not at all; prompt tokens of rows with images stay unknown
  kHeader,  // the file exists, is complete, and its header gives a size
  kFull     // decoded, and with a processor resized and cut into patches
};
constexpr auto names_of(ImageCheck) { return std::array{"none", "header", "full"}; }

/// Size and cost of every file, kept by path; safe to use from several threads. Pictures whose
/// bytes stand in a row are looked at each time.
class ImageCatalog {
 public:
  ImageCatalog(ImageCheck check, std::optional<image::ProcessorConfig> processor);
  ~ImageCatalog();

  /// The size of an image that a run could use. Throws core::UserError "<name>: ...".
  image::ImageSize check(const ImageSource& source);

  /// A file and what it took to check it, in CPU milliseconds.
  struct Cost {
    std::string path;
    double cpu_ms = 0.0;
  };
  /// Costs of all usable files, the slowest first.
  std::vector<Cost> costs() const;

 private:
  struct Entry;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sgrpo::data
