// One writer at a time for a run's folder.
#pragma once

#include <filesystem>

namespace sgrpo::checkpoint {

/// Holds `<run>/.lock` while it lives; the system lets go of it when the process ends in any way.
/// Whoever only reads the folder takes none.
class RunLock {
 public:
  /// Creates the folder if it is missing. Throws core::UserError at once where another process (or
  /// another RunLock of this one) holds it, naming host and process id as far as they are known;
  /// core::RunError where the file cannot be written. On a file system without locks it warns and
  /// holds nothing.
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace sgrpo::checkpoint
