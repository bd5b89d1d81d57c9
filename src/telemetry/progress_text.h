// The texts of a progress display, apart from clocks and terminals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sgrpo::telemetry {

/// What a progress display knows at one moment.
struct ProgressState {
  std::string label;
  std::string note;
  int64_t total = 0;  // <= 0 if unknown
  int64_t done = 0;
  int64_t first = 0;     // where a resumed phase started: speed counts from here
  double elapsed = 0.0;  // seconds since then
};

/// "0:07", "12:34", "1:02:03", "2d 03:04:05"; "?" for what cannot be known.
std::string duration_text(double seconds);

/// "train  40% (40/100)  1:02 elapsed, 1:33 left  reward 0.41"
std::string progress_line(const ProgressState& state);

/// "train: 100 of 100 in 2:35  reward 0.41", or "train: stopped at 40 of 100 after 1:02".
std::string progress_summary(const ProgressState& state);

/// One terminal line of at most `columns` columns with a drawn bar; `utf8` allows block characters.
std::string progress_bar(const ProgressState& state, size_t columns, bool utf8);

}  // namespace sgrpo::telemetry
