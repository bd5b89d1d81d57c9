// How a step ends, and how a run does: every way out saves the newest finished step.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/state.h"

namespace sgrpo::trainer {

/// Whether trainer.early_stopping_patience ends the run behind the last finished step.
bool is_patience_over(const State& state);

/// Ends the last finished step: checkpoint and validation where they are due, in this order so that
/// a validation that fails costs no trained step, then its row of metrics. Step 0 is the evaluation
/// at start. A checkpoint that cannot be saved is told and tried again behind the next step, the
/// last one a few times; then core::RunError.
void close_step(State& state, int64_t tokens_before);

/// Saves the last finished step and says how to go on.
[[noreturn]] void save_interrupted(State& state, std::string reason);

/// The same, unless the stop comes from the loss of another rank: then as after an error.
[[noreturn]] void end_interrupted(State& state, const std::string& reason);

/// What comes to an end in order counts no start: bad input, no checkpoint, a stop. Call from a
/// handler of the error.
void forget_orderly_end(Starts& mutable_starts);

/// An error of another kind costs no finished step: the newest one is saved, unless parameters of
/// an unfinished step changed already. Call from a handler of that error, which it throws again.
[[noreturn]] void save_after_error(State& state);

}  // namespace sgrpo::trainer
