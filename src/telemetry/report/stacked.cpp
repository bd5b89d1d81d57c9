// Charts of parts of a whole: classes of groups over steps, phases of a step.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "telemetry/report/chart.h"
#include "telemetry/report/html.h"
#include "telemetry/report/plot.h"

namespace sgrpo::telemetry::report {
namespace {

constexpr size_t kStackedPoints = 240;

struct Band {
  const char* metric;
  const char* css;
};
constexpr std::array<Band, 3> kKinds = {{{"group/frac_all_fail", "area fail"},
                                         {"group/frac_mixed", "area mixed"},
                                         {"group/frac_all_pass", "area pass"}}};

constexpr std::string_view kTiming = "timing_s/";
// The order in which a step runs through them; others follow by name.
constexpr std::array<const char*, 9> kPhases = {
    "load", "vision", "generate", "verify", "logprob", "update", "sync", "validate", "save"};
constexpr size_t kPhaseColours = 10;
constexpr double kLabelledShare = 0.1;  // narrower segments have no room for their name

/// Every n-th point; a smoothed series loses nothing by that, and all bands keep the same steps.
Series strided(const Series& series) {
  const size_t n = series.values.size(), stride = n / kStackedPoints + 1;
  Series result;
  for (size_t i = 0; i < n; i += stride) {
    const size_t at = i + stride < n ? i : n - 1;
    result.steps.push_back(series.steps[at]);
    result.values.push_back(series.values[at]);
  }
  return result;
}

Series smooth_and_thin(const Series& series) {
  return strided(smoothed(series, smoothing_window(series.values.size())));
}

/// The outline of the area between two series over the same steps.
std::string area_path(const Plot& plot, const Series& lower, const Series& upper) {
  std::string path = plot.path(upper);
  for (size_t i = lower.values.size(); i-- > 0;) {
    path += "L" + coordinate(plot.px(lower.steps[i])) + "," + coordinate(plot.py(lower.values[i]));
  }
  return path + "Z";
}

/// All phases of all runs in the order of a step.
std::vector<std::string> phases_of(const std::vector<RunData>& runs) {
  std::set<std::string> found;
  for (const std::string& name : metric_names(runs)) {
    if (core::starts_with(name, kTiming)) found.insert(name.substr(kTiming.size()));
  }
  std::vector<std::string> phases;
  for (const char* phase : kPhases) {
    if (found.erase(phase) > 0) phases.emplace_back(phase);
  }
  phases.insert(phases.end(), found.begin(), found.end());
  return phases;
}

/// Mean seconds a step of one metric; steps without it count as zero (validation, saves).
double per_step(const RunData& run, const std::string& metric) {
  const Series& series = run.get(metric);
  double sum = 0.0;
  for (const double value : series.values) sum += value;
  return run.rows > 0 ? sum / static_cast<double>(run.rows) : 0.0;
}

struct RunTimes {
  std::vector<double> phases;
  double sum = 0.0, step = 0.0;  // of the phases; measured for the whole step
  double whole() const { return std::max(sum, step); }
};

std::vector<RunTimes> times_of(const std::vector<RunData>& runs,
                               const std::vector<std::string>& phases) {
  std::vector<RunTimes> all;
  for (const RunData& run : runs) {
    RunTimes& times = all.emplace_back();
    for (const std::string& phase : phases) {
      times.phases.push_back(per_step(run, std::string(kTiming) + phase));
      times.sum += times.phases.back();
    }
    times.step = per_step(run, "step_time");
  }
  return all;
}

std::string segment(const std::string& name, size_t slot, double seconds, double whole) {
  const double share = seconds / whole;
  if (share < 5e-4) return "";
  const std::string percent = coordinate(share * 100.0) + " %";
  return core::str("<span class=\"p",
                   slot,
                   "\" style=\"flex-grow:",
                   coordinate(share * 1000.0),
                   "\" title=\"",
                   escape(name),
                   ": ",
                   number(seconds),
                   " s, ",
                   percent,
                   "\">",
                   share >= kLabelledShare ? escape(name) + " " + percent : "",
                   "</span>");
}

std::string time_table(const std::vector<RunData>& runs,
                       const std::vector<std::string>& phases,
                       const std::vector<RunTimes>& times) {
  std::string html = "<div class=\"scroll\"><table><thead><tr><th>seconds a step</th>";
  for (size_t r = 0; r < runs.size(); ++r) {
    html += "<th class=\"num\">" + run_mark(r) + escape(runs[r].name) + "</th>";
  }
  html += "</tr></thead><tbody>";
  const auto row = [&](const std::string& title, const auto& value_of) {
    html += "<tr><td>" + title + "</td>";
    for (const RunTimes& item : times) {
      html += "<td class=\"num\">" + number(value_of(item)) + "</td>";
    }
    html += "</tr>";
  };
  for (size_t p = 0; p < phases.size(); ++p) {
    row(core::str("<i class=\"mark q", p % kPhaseColours, "\"></i>", escape(phases[p])),
        [p](const RunTimes& item) { return item.phases[p]; });
  }
  row("all phases", [](const RunTimes& item) { return item.sum; });
  row("whole step (<code>step_time</code>)", [](const RunTimes& item) { return item.step; });
  return html + "</tbody></table></div>";
}

}  // namespace

std::string group_chart(const RunData& run, size_t slot) {
  Plot plot{.x = {}, .y = round_axis(0.0, 1.0, 4)};
  std::string body;
  Series lower;
  for (const Band& band : kKinds) {
    const Series part = smooth_and_thin(run.get(band.metric));
    if (part.empty()) return "";
    if (lower.empty()) {
      lower = Series{part.steps, std::vector<double>(part.values.size(), 0.0)};
      const double first = part.steps.front() <= 0.1 * part.steps.back() ? 0 : part.steps.front();
      plot.x = fitted_axis(first, part.steps.back(), 5);
    }
    if (part.steps != lower.steps) return "";  // fractions of different steps do not add up
    Series upper = lower;
    for (size_t i = 0; i < upper.values.size(); ++i) upper.values[i] += part.values[i];
    body += core::str("<path class=\"",
                      band.css,
                      "\" d=\"",
                      area_path(plot, lower, upper),
                      "\"><title>",
                      band.metric,
                      ", at the end ",
                      number(part.values.back()),
                      "</title></path>");
    lower = upper;
  }
  const Series injected = smooth_and_thin(run.get("cgi/injected_frac"));
  if (!injected.empty()) body += "<path class=\"injected\" d=\"" + plot.path(injected) + "\"/>";
  return "<figure><figcaption><b class=\"plain\">" + run_mark(slot) + escape(run.name) +
         "</b><span>share of groups</span></figcaption>" +
         plot.open("classes of groups over steps, " + run.name) + Plot::open_clip() + body +
         "</svg></svg></figure>\n";
}

std::string time_bars(const std::vector<RunData>& runs) {
  const std::vector<std::string> phases = phases_of(runs);
  if (phases.empty()) return "";
  const std::vector<RunTimes> times = times_of(runs, phases);
  double longest = 0.0;
  for (const RunTimes& item : times) longest = std::max(longest, item.whole());
  if (longest <= 0.0) return "";
  std::string html = "<div class=\"bars\">";
  for (size_t r = 0; r < runs.size(); ++r) {
    const double whole = times[r].whole();
    if (whole <= 0.0) continue;
    html += "<div class=\"name\">" + run_mark(r) + escape(runs[r].name) +
            "</div><div class=\"track\"><div class=\"bar\" style=\"width:" +
            coordinate(100.0 * whole / longest) + "%\">";
    for (size_t p = 0; p < phases.size(); ++p) {
      html += segment(phases[p], p % kPhaseColours, times[r].phases[p], whole);
    }
    html += segment("outside of all phases", kPhaseColours, whole - times[r].sum, whole);
    html += "</div></div><div class=\"total\">" + number(whole) + " s</div>";
  }
  return html + "</div>" + time_table(runs, phases, times);
}

}  // namespace sgrpo::telemetry::report
