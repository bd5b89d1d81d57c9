#include "telemetry/patient_file.h"

#include <utility>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"

namespace sgrpo::telemetry {

PatientFile::PatientFile(const std::filesystem::path& path, core::AppendFile::Open open)
    : path_(path), file_(path, open) {}

PatientFile::~PatientFile() {
  write_owed();
  if (!owed_.empty()) core::warn(path_.string(), ": its last ", owed_.size(), " records are lost");
}

void PatientFile::append(std::string record) {
  owed_.push_back(std::move(record));
  write_owed();
}

void PatientFile::sync() {
  write_owed();
  try {
    file_.sync();
  } catch (const core::RunError& error) {
    core::warn(error.what(), " (the run goes on)");
  }
}

void PatientFile::write_owed() {
  try {
    for (; !owed_.empty(); owed_.pop_front()) file_.append(owed_.front());
    if (is_said_) core::info(path_.string(), " is complete again");
    is_said_ = false;
  } catch (const core::RunError& error) {
    if (!is_said_) core::warn(error.what(), " (the run goes on, and tries again with each record)");
    is_said_ = true;
  }
}

}  // namespace sgrpo::telemetry
