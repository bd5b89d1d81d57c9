// Numbers that go wrong: steps whose updates were all left out, and the way back from three of
// them.
#pragma once

#include <cstdint>

#include "trainer/state.h"

namespace sgrpo::trainer {

/// Counts a step as one of those in a row whose updates were all left out, or ends the row.
void note_skips(State& state, int64_t step, bool all_skipped);

/// Whether that many in a row are too many.
bool has_gone_wrong(const State& state);

/// Opens the run again from its newest checkpoint, or from where it began: cursor, metrics and
/// completions go back with it, and the stream passes over the positions of the steps in a row.
/// Throws core::RunError if the run went back within the last 100 steps already.
void go_back(State& state);

}  // namespace sgrpo::trainer
