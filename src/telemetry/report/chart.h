// Inline SVG charts.
#pragma once

#include <string>
#include <vector>

#include "telemetry/report/data.h"

namespace sgrpo::telemetry::report {

/// One run in a chart; `slot` is its colour.
struct Line {
  std::string name;
  size_t slot = 0;
  const Series* series = nullptr;
};

/// A chart of one metric with all runs overlaid: thin lines for every step, thick ones smoothed,
/// the last value of each at the right edge, values under the pointer as a tooltip.
std::string line_chart(const std::string& metric,
                       const std::string& meaning,
                       const std::vector<Line>& lines);

/// Shares of all-fail, mixed and all-pass groups of one run as stacked areas, the injected share as
/// a line over them. "" if the run has no such metrics.
std::string group_chart(const RunData& run, size_t slot);

/// Mean seconds of each phase as one stacked bar a run, with a table of the numbers. "" without
/// timings.
std::string time_bars(const std::vector<RunData>& runs);

/// A coloured mark of run `slot`.
std::string run_mark(size_t slot);

/// Number of distinct run colours; later runs use them again.
inline constexpr size_t kRunColours = 8;

}  // namespace sgrpo::telemetry::report
