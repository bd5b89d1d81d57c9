// A number that is none, where a step needs one.
#pragma once

#include "sgrpo/core/error.h"

namespace sgrpo {

/// A logit, a reward or an advantage is infinite or NaN: the step that met it changes nothing and
/// is counted; elsewhere the run has failed (exit code 1).
class NonFiniteError : public core::RunError {
 public:
  using RunError::RunError;
};

}  // namespace sgrpo
