// TensorBoard's event file, written by hand: TFRecord frames around protobuf `Event` messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/patient_file.h"

namespace sgrpo::telemetry {

/// One TFRecord: u64 length, masked crc of it, data, masked crc of the data (little-endian).
std::string tfrecord(std::string_view data);

/// A serialized `Event` with scalar summaries.
std::string scalar_event(double wall_time,
                         int64_t step,
                         const std::vector<std::pair<std::string, double>>& values);

/// One new file events.out.tfevents.<seconds>.<host>.sgrpo in a folder.
class EventFile {
 public:
  /// `resume_step` >= 0 tells TensorBoard to forget what older files hold from this step on.
  EventFile(const std::filesystem::path& folder, int64_t resume_step = -1);
  void write(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<PatientFile> file_;
};

/// Whether `name` is that of an event file written here.
bool is_event_file(std::string_view name);

}  // namespace sgrpo::telemetry
