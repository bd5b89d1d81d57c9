// The numbers of one run as a report sees them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::telemetry::report {

/// One metric over the steps at which it was written with a finite value.
struct Series {
  std::vector<double> steps, values;
  bool empty() const { return values.empty(); }
};

/// One run's metrics.jsonl.
struct RunData {
  std::string name;
  int64_t rows = 0, last_step = 0;
  std::vector<std::string> order;  // metrics as they first appear
  std::map<std::string, Series> metrics;
  /// The metric, or an empty series.
  const Series& get(const std::string& metric) const;
};

/// Reads a run; a line torn by a kill is passed over. Throws core::UserError if there is no file.
RunData load_run(const ReportRun& run);

/// Names of all metrics of all runs, in order of first appearance.
std::vector<std::string> metric_names(const std::vector<RunData>& runs);

/// Number of neighbours that smoothing takes in: about a twentieth of the points, 1 below 40.
size_t smoothing_window(size_t points);

/// Centred moving average over `window` points, cut off at both ends.
Series smoothed(const Series& series, size_t window);

/// At most about `limit` points: of each stretch the lowest and the highest, so that spikes stay.
Series thinned(const Series& series, size_t limit);

/// Mean of the last `count` values; NaN if there is none.
double tail_mean(const Series& series, size_t count);

}  // namespace sgrpo::telemetry::report
