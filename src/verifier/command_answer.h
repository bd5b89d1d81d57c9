// One line of a `command` program -> a verdict.
#pragma once

#include <cstddef>
#include <string>

#include "sgrpo/core/json.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo::verifier {

/// Thrown where an answer breaks the protocol; caught where the program is asked.
struct BadAnswer {
  std::string reason;
};

/// The verdict that an answer's keys give. `size`: bytes of the completion. Throws BadAnswer.
Verdict read_verdict(const core::Json& answer, size_t size);

}  // namespace sgrpo::verifier
