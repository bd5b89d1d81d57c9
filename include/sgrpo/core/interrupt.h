// The stop flag: set by a signal handler, polled at every safe point of every phase.
#pragma once

namespace sgrpo::core {

/// Handles SIGTERM, SIGINT and SIGUSR1 by setting the flag; a second SIGTERM or SIGINT ends the
/// process at once.
void install_stop_signals();

/// Whether a stop was asked for.
bool stop_requested() noexcept;

/// Sets or clears the flag (tests, and a deadline).
void request_stop(bool stop = true) noexcept;

}  // namespace sgrpo::core
