#include "telemetry/report/data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::telemetry::report {
namespace {

void add_row(RunData& run, const core::Json& row, const std::string& where) {
  const int64_t step = core::get_int(row, "step", where);
  ++run.rows;
  run.last_step = std::max(run.last_step, step);
  for (const auto& [name, value] : row.items()) {
    if (name == "step" || !value.is_number()) continue;
    const auto [found, is_new] = run.metrics.try_emplace(name);
    if (is_new) run.order.push_back(name);
    found->second.steps.push_back(static_cast<double>(step));
    found->second.values.push_back(value.get<double>());
  }
}

}  // namespace

const Series& RunData::get(const std::string& metric) const {
  static const Series none;
  const auto found = metrics.find(metric);
  return found == metrics.end() ? none : found->second;
}

RunData load_run(const ReportRun& run) {
  const auto path = run.folder / "metrics.jsonl";
  if (!std::filesystem::is_regular_file(path)) {
    throw core::UserError(core::str("report: run '",
                                    run.name,
                                    "': no metrics.jsonl in ",
                                    run.folder.string(),
                                    ", expected the output folder of a training run"));
  }
  RunData data;
  data.name = run.name;
  for (const std::string& line : core::split(core::read_file(path), '\n')) {
    if (core::trim(line).empty()) continue;
    try {
      add_row(data, core::parse_json(line, path.string()), path.string());
    } catch (const core::UserError&) {
      continue;  // torn by a kill, or being written at this moment
    }
  }
  return data;
}

std::vector<std::string> metric_names(const std::vector<RunData>& runs) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const RunData& run : runs) {
    for (const std::string& name : run.order) {
      if (seen.insert(name).second) names.push_back(name);
    }
  }
  return names;
}

size_t smoothing_window(size_t points) { return points < 40 ? 1 : points / 20 | 1; }

Series smoothed(const Series& series, size_t window) {
  if (window <= 1) return series;
  Series result{series.steps, {}};
  const size_t half = window / 2, n = series.values.size();
  std::vector<double> sums(n + 1, 0.0);
  std::partial_sum(series.values.begin(), series.values.end(), sums.begin() + 1);
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = i < half ? 0 : i - half, end = std::min(n, i + half + 1);
    result.values.push_back((sums[end] - sums[begin]) / static_cast<double>(end - begin));
  }
  return result;
}

Series thinned(const Series& series, size_t limit) {
  const size_t n = series.values.size();
  if (n <= limit) return series;
  const size_t stretches = std::max<size_t>(limit / 2, 1);
  Series result;
  for (size_t s = 0; s < stretches; ++s) {
    const auto first = series.values.begin() + static_cast<std::ptrdiff_t>(s * n / stretches);
    const auto last = series.values.begin() + static_cast<std::ptrdiff_t>((s + 1) * n / stretches);
    auto [low, high] = std::minmax_element(first, last);
    if (high < low) std::swap(low, high);
    for (const auto& at : {low, high}) {
      result.steps.push_back(series.steps[static_cast<size_t>(at - series.values.begin())]);
      result.values.push_back(*at);
    }
  }
  return result;
}

double tail_mean(const Series& series, size_t count) {
  if (series.empty()) return std::nan("");
  const size_t n = std::clamp<size_t>(count, 1, series.values.size());
  return std::accumulate(
             series.values.end() - static_cast<std::ptrdiff_t>(n), series.values.end(), 0.0) /
         static_cast<double>(n);
}

}  // namespace sgrpo::telemetry::report
