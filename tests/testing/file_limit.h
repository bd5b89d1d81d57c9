// Writes that fail, as on a full disk.
#pragma once

#include <sys/resource.h>

#include "sgrpo/core/interrupt.h"

namespace sgrpo::testing {

/// No file of this process may grow beyond so many bytes while it lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    core::install_stop_signals();
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace sgrpo::testing
