// run/starts.json: starts in a row that came to nothing.
#pragma once

#include <cstdint>
#include <filesystem>

namespace sgrpo::trainer {

/// Counts a start until it commits a checkpoint, finishes a group or ends in order.
class Starts {
 public:
  /// Counts this start. Throws CrashLoopError for the fourth in a row. A file that is missing or
  /// damaged counts nothing.
  explicit Starts(const std::filesystem::path& run);
  /// Counts nothing: of a rank that writes nothing.
  Starts() : is_counted_(false) {}
  /// This start came to something.
  void forget();

 private:
  void write(int64_t count) const;

  std::filesystem::path file_;
  bool is_counted_ = true;
};

}  // namespace sgrpo::trainer
