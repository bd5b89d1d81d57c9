#include "data/image_paths.h"

#include <algorithm>

#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

namespace fs = std::filesystem;

/// Whether `path` has `root` as its first components; both canonical.
bool is_beneath(const fs::path& path, const fs::path& root) {
  const auto [in_root, in_path] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return in_root == root.end() && in_path != path.end();
}

fs::path expanded(const std::string& name, const RowSource& source, const std::string& id) {
  try {
    return core::expand_home(name);
  } catch (const core::UserError& error) {
    throw RecordError(source, id, core::str("image ", error.what()));
  }
}

}  // namespace

fs::path resolve_image(const std::string& text,
                       const RowSource& source,
                       const std::string& id,
                       const RowOptions& options) {
  std::string name = text;
  if (core::starts_with(name, "file://")) name.erase(0, 7);
  if (name.empty()) throw RecordError(source, id, "an image path is empty; name a file");
  if (name.find('\0') != std::string::npos)
    throw RecordError(source, id, "an image path contains a NUL character");
  for (const char* scheme : {"http://", "https://", "s3://", "gs://", "data:"}) {
    if (core::starts_with(name, scheme)) {
      throw RecordError(
          source,
          id,
          core::str(
              "image '", core::printable(name), "' is a URL, expected a path; download it first"));
    }
  }
  fs::path path = expanded(name, source, id);
  if (path.is_relative())
    path = (options.image_dir ? *options.image_dir : fs::path(source.file).parent_path()) / path;
  if (!options.image_root) return path;

  std::error_code error;
  const fs::path root = fs::canonical(*options.image_root, error);
  if (error) {
    throw core::UserError(core::str("data.image_root '",
                                    options.image_root->string(),
                                    "' cannot be opened: ",
                                    error.message()));
  }
  // Links are followed here and nowhere later: the record keeps the resolved path.
  const fs::path resolved = fs::weakly_canonical(fs::absolute(path), error);
  if (error || !is_beneath(resolved, root)) {
    throw RecordError(source,
                      id,
                      core::str("image '",
                                core::printable(name),
                                "' lies outside data.image_root '",
                                options.image_root->string(),
                                "'; move it or change the root"));
  }
  return resolved;
}

}  // namespace sgrpo::data
