// The stop flag: set by a signal handler, polled at every safe point of every phase.
#pragma once

#include <cstdint>

namespace sgrpo::core {

/// SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU set the flag, each as often as it comes;
/// only a second SIGINT ends the process at once (exit code 130). A SIGINT or SIGHUP that the
/// parent ignores stays ignored. SIGPIPE and SIGXFSZ are ignored: the write that met them fails and
/// says why.
void install_stop_signals();

/// Whether a stop was asked for, or the deadline is over. Counts as progress: who polls is alive.
bool stop_requested() noexcept;

/// Something was done, which other processes may wait for.
void note_progress() noexcept;
/// Grows with everything that is done; of use only to see that it does.
int64_t progress_count() noexcept;

/// Sets or clears the flag (tests).
void request_stop(bool stop = true) noexcept;

/// A stop is asked for from then on, in seconds since 1970; 0: never.
void set_deadline(double seconds) noexcept;
bool deadline_is_over() noexcept;

}  // namespace sgrpo::core
