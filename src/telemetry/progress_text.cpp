#include "telemetry/progress_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "sgrpo/core/error.h"
#include "telemetry/width.h"

namespace sgrpo::telemetry {
namespace {

constexpr size_t kShortestBar = 8, kLongestBar = 40;

double fraction(const ProgressState& state) {
  return std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
}

/// "40/100", or "40" without a total.
std::string count_text(const ProgressState& state) {
  return state.total > 0 ? core::str(state.done, "/", state.total) : core::str(state.done);
}

/// Down, not to the nearest: 100 % means that all is done.
std::string percent_text(const ProgressState& state) {
  return core::str(static_cast<int>(std::floor(fraction(state) * 100.0)), "%");
}

/// Seconds left at the mean speed so far; NaN before the first unit is done.
double seconds_left(const ProgressState& state) {
  const int64_t made = state.done - state.first;
  if (made <= 0 || state.total <= 0) return std::nan("");
  return state.elapsed / static_cast<double>(made) *
         static_cast<double>(std::max<int64_t>(state.total - state.done, 0));
}

std::string speed_text(const ProgressState& state) {
  const auto made = static_cast<double>(state.done - state.first);
  if (made <= 0.0 || state.elapsed <= 0.0) return "";
  char text[48];
  if (made >= state.elapsed) {
    std::snprintf(text, sizeof text, "%.3g/s", made / state.elapsed);
  } else {
    std::snprintf(text, sizeof text, "%.3g s each", state.elapsed / made);
  }
  return text;
}

std::string with_note(const std::string& text, const ProgressState& state) {
  return state.note.empty() ? text : text + "  " + state.note;
}

/// `filled` of `columns` cells; a half cell at the boundary if block characters are allowed.
std::string bar_text(double filled, size_t columns, bool utf8) {
  const auto halves = static_cast<size_t>(filled * static_cast<double>(columns) * 2.0);
  std::string bar;
  for (size_t i = 0; i < columns; ++i) {
    const bool full = 2 * i + 1 < halves, half = 2 * i + 1 == halves;
    if (utf8) {
      bar += full ? "━" : half ? "╸" : "┈";
    } else {
      bar += full ? '#' : '.';
    }
  }
  return bar;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0 || seconds > 1e9) return "?";
  const auto all = static_cast<long long>(std::llround(seconds));
  const long long days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60;
  char text[64];
  if (days > 0) {
    std::snprintf(text, sizeof text, "%lldd %02lld:%02lld:%02lld", days, hours, minutes, all % 60);
  } else if (hours > 0) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", hours, minutes, all % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", minutes, all % 60);
  }
  return text;
}

std::string progress_line(const ProgressState& state) {
  std::string text = state.label + "  ";
  if (state.total > 0) {
    text += percent_text(state) + " (" + count_text(state) + ")";
  } else {
    text += count_text(state);
  }
  text += "  " + duration_text(state.elapsed) + " elapsed";
  if (const double left = seconds_left(state); std::isfinite(left)) {
    text += ", " + duration_text(left) + " left";
  }
  return with_note(text, state);
}

std::string progress_summary(const ProgressState& state) {
  const std::string time = duration_text(state.elapsed);
  if (state.total <= 0) {
    return with_note(core::str(state.label, ": ", state.done, " in ", time), state);
  }
  const std::string of = core::str(state.done, " of ", state.total);
  if (state.done >= state.total) {
    return with_note(core::str(state.label, ": ", of, " in ", time), state);
  }
  return with_note(core::str(state.label, ": stopped at ", of, " after ", time), state);
}

std::string progress_bar(const ProgressState& state, size_t columns, bool utf8) {
  std::string head = state.label + " ";
  std::string tail = " " + count_text(state) + "  " + duration_text(state.elapsed);
  if (state.total > 0) {
    head += fit_to_width(percent_text(state), 4, true) + " ";
    tail += " < " + duration_text(seconds_left(state));
  }
  if (const std::string speed = speed_text(state); !speed.empty()) tail += "  " + speed;
  tail = with_note(tail, state);
  const size_t taken = display_width(head) + display_width(tail);
  size_t bar = 0;
  if (state.total > 0 && taken + kShortestBar <= columns) {
    bar = std::min(kLongestBar, columns - taken);
  }
  const std::string drawn = bar == 0 ? "" : bar_text(fraction(state), bar, utf8);
  return cut_to_width(head + drawn + tail, columns);
}

}  // namespace sgrpo::telemetry
