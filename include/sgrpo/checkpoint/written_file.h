// What a writer of a folder reports, and how it is handed to whoever decides where it goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sgrpo::checkpoint {

/// A file of a folder that was just written.
struct WrittenFile {
  std::string file;  // relative to the folder
  uint64_t bytes = 0;
  std::string sha256;
};

/// Writes a checkpoint's model/ folder: a whole model (ModelFolder::writer) or an adapter
/// (adapter_writer).
struct ModelWriter {
  uint64_t bytes = 0;  // that `write` will need
  std::function<std::vector<WrittenFile>(const std::filesystem::path& destination)> write;
};

}  // namespace sgrpo::checkpoint
