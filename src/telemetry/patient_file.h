// A file of records that grows; a disk that fails delays it and does not end the run.
#pragma once

#include <deque>
#include <filesystem>
#include <string>

#include "sgrpo/core/file.h"

namespace sgrpo::telemetry {

/// Records that cannot be written are told once, kept, and tried again before the next one.
class PatientFile {
 public:
  /// Throws core::RunError where the file cannot be opened.
  explicit PatientFile(const std::filesystem::path& path,
                       core::AppendFile::Open open = core::AppendFile::Open::kAppend);
  /// Tries a last time, and says how many records are lost.
  ~PatientFile();
  PatientFile(const PatientFile&) = delete;
  PatientFile& operator=(const PatientFile&) = delete;

  void append(std::string record);
  /// Makes durable what was appended.
  void sync();
  /// Records that wait.
  size_t num_owed() const { return owed_.size(); }

 private:
  void write_owed();

  std::filesystem::path path_;
  core::AppendFile file_;
  std::deque<std::string> owed_;
  bool is_said_ = false;
};

}  // namespace sgrpo::telemetry
