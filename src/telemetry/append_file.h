// A file that only grows, one write call a record.
#pragma once

#include <filesystem>
#include <string_view>

namespace sgrpo::telemetry {

/// Appends whole records, so that a killed process leaves at most one torn record at the end.
class AppendFile {
 public:
  /// Opens or creates the file; `exclusive` refuses an existing one. Throws core::RunError.
  explicit AppendFile(const std::filesystem::path& path, bool exclusive = false);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Throws core::RunError naming the path and the reason (disk full, ...).
  void append(std::string_view bytes);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace sgrpo::telemetry
