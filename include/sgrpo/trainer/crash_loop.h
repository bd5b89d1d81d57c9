// A run that is started again and again and comes to nothing.
#pragma once

#include "sgrpo/core/error.h"

namespace sgrpo::trainer {

/// Three starts in a row achieved nothing, and a fourth would not either: exit code 70.
class CrashLoopError : public core::Error {
 public:
  using Error::Error;
};

}  // namespace sgrpo::trainer
