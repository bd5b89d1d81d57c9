#include <algorithm>
#include <cmath>

#include "sgrpo/core/error.h"
#include "telemetry/report/catalog.h"
#include "telemetry/report/chart.h"
#include "telemetry/report/html.h"
#include "telemetry/report/parts.h"

namespace sgrpo::telemetry::report {
namespace {

/// What a cell shows: the last validation, or a training metric's mean over the last steps.
double final_value(const RunData& run, const std::string& metric) {
  const Series& series = run.get(metric);
  return tail_mean(series, is_validation(metric) ? 1 : series.values.size() / 20);
}

/// "0.83 at 180", if an earlier validation was better than the last.
std::string peak_note(const Series& series) {
  const auto best = std::max_element(series.values.begin(), series.values.end());
  if (best == series.values.end() || *best <= series.values.back()) return "";
  const auto at = static_cast<size_t>(best - series.values.begin());
  return number(*best) + " at " + number(series.steps[at]);
}

std::string metric_row(const std::vector<RunData>& runs, const std::string& metric) {
  std::vector<double> values;
  for (const RunData& run : runs) values.push_back(final_value(run, metric));
  double best = -HUGE_VAL;
  for (const double value : values) {
    if (std::isfinite(value)) best = std::max(best, value);
  }
  std::string html = "<tr><td><code>" + escape(metric) + "</code></td>";
  for (size_t r = 0; r < runs.size(); ++r) {
    const bool is_best = runs.size() > 1 && is_score(metric) && values[r] == best;
    html +=
        core::str("<td class=\"num",
                  is_best ? " best" : "",
                  "\">",
                  number(values[r]),
                  "</td><td class=\"peak\">",
                  is_validation(metric) && is_score(metric) ? peak_note(runs[r].get(metric)) : "",
                  "</td>");
  }
  return html + "</tr>\n";
}

std::string heading_row(const std::string& title, size_t runs) {
  return core::str(
      "<tr class=\"group\"><th colspan=\"", 2 * runs + 1, "\">", title, "</th></tr>\n");
}

template <class Value>
std::string plain_row(const std::vector<RunData>& runs, const char* title, Value value_of) {
  std::string html = core::str("<tr><td>", title, "</td>");
  for (const RunData& run : runs) html += "<td class=\"num\">" + value_of(run) + "</td><td></td>";
  return html + "</tr>\n";
}

std::string duration(const RunData& run) {
  double seconds = 0.0;
  for (const double value : run.get("step_time").values) seconds += value;
  if (seconds <= 0.0) return "–";
  if (seconds < 120.0) return number(seconds) + " s";
  return seconds < 7200.0 ? number(seconds / 60.0) + " min" : number(seconds / 3600.0) + " h";
}

/// Whether the metric splits a validation score further, by task: "val/split/task/pass@1".
bool is_per_task(const std::string& metric) {
  return std::count(metric.begin(), metric.end(), '/') > 2;
}

/// Whether a count of failures has nothing to tell: 0 in every validation of every run.
bool never_happened(const std::vector<RunData>& runs, const std::string& metric) {
  if (!is_row_count(metric)) return false;
  return std::all_of(runs.begin(), runs.end(), [&](const RunData& run) {
    const std::vector<double>& values = run.get(metric).values;
    return std::all_of(values.begin(), values.end(), [](double value) { return value == 0.0; });
  });
}

}  // namespace

std::string summary_table(const std::vector<RunData>& runs) {
  const std::vector<std::string> names = metric_names(runs);
  std::string html = "<div class=\"scroll\"><table class=\"summary\"><thead><tr><th></th>";
  for (size_t r = 0; r < runs.size(); ++r) {
    html += "<th colspan=\"2\">" + run_mark(r) + escape(runs[r].name) + "</th>";
  }
  html += "</tr></thead><tbody>\n";
  std::string validation, tasks, training;
  for (const std::string& name : names) {
    if (!is_validation(name) || (is_row_count(name) && is_per_task(name))) continue;
    if (never_happened(runs, name)) continue;
    (is_per_task(name) ? tasks : validation) += metric_row(runs, name);
  }
  for (const std::string& name : summary_metrics()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      training += metric_row(runs, name);
    }
  }
  if (!validation.empty()) {
    html += heading_row("Validation, last <small>(best and its step, if earlier)</small>",
                        runs.size()) +
            validation;
  }
  if (!training.empty()) {
    html += heading_row("Training, mean of the last 5 % of steps", runs.size()) + training;
  }
  html += heading_row("Extent", runs.size());
  html += plain_row(
      runs, "steps", [](const RunData& run) { return number(static_cast<double>(run.last_step)); });
  html += plain_row(runs, "time in steps", duration);
  if (!tasks.empty()) {
    html += heading_row("Validation by task", runs.size()) + tasks;
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace sgrpo::telemetry::report
