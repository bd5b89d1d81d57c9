#include "telemetry/report/chart.h"

#include <algorithm>
#include <cmath>

#include "sgrpo/core/error.h"
#include "telemetry/report/html.h"
#include "telemetry/report/plot.h"

namespace sgrpo::telemetry::report {
namespace {

constexpr size_t kDrawnPoints = 400;  // more than the plot has pixels
constexpr size_t kMarkedPoints = 40;  // series this short show their points
constexpr size_t kBands = 40;         // places with a tooltip
constexpr double kLabelGap = 12.5;    // between labels of last values
constexpr double kNoise = 0.005;      // of the range; less needs no smoothing

/// A run's series with its smoothed form.
struct Drawn {
  const Line* line;
  Series smooth;
};

/// The moving average, or the series itself where that would only bend its ends (schedules,
/// counters).
Series smooth_if_noisy(const Series& raw) {
  const Series smooth = smoothed(raw, smoothing_window(raw.values.size()));
  const auto [low, high] = std::minmax_element(raw.values.begin(), raw.values.end());
  double noise = 0.0;
  for (size_t i = 0; i < raw.values.size(); ++i)
    noise += std::abs(raw.values[i] - smooth.values[i]);
  return noise > kNoise * (*high - *low) * static_cast<double>(raw.values.size()) ? smooth : raw;
}

/// A value in the narrow right margin.
std::string margin_number(double value) {
  const double size = std::abs(value);
  if (size < 1e5 || size >= 1e12) return number(value);
  const double unit = size >= 1e9 ? 1e9 : size >= 1e6 ? 1e6 : 1e3;
  return number(value / unit) + (unit == 1e9 ? "G" : unit == 1e6 ? "M" : "k");
}

/// The range that shows the smoothed lines whole and all but the outermost 1 % of single steps.
void value_range(const std::vector<Drawn>& drawn, double& low, double& high) {
  low = HUGE_VAL;
  high = -HUGE_VAL;
  for (const Drawn& item : drawn) {
    std::vector<double> sorted = item.line->series->values;
    std::sort(sorted.begin(), sorted.end());
    const size_t spare = sorted.size() / 100;
    const auto [least, most] =
        std::minmax_element(item.smooth.values.begin(), item.smooth.values.end());
    low = std::min({low, sorted[spare], *least});
    high = std::max({high, sorted[sorted.size() - 1 - spare], *most});
  }
}

Plot make_plot(const std::vector<Drawn>& drawn) {
  double low = 0.0, high = 0.0, first = HUGE_VAL, last = -HUGE_VAL;
  value_range(drawn, low, high);
  for (const Drawn& item : drawn) {
    first = std::min(first, item.line->series->steps.front());
    last = std::max(last, item.line->series->steps.back());
  }
  if (first <= 0.1 * last) first = 0.0;
  return Plot{.x = fitted_axis(first, last, 5), .y = round_axis(low, high, 4)};
}

std::string curve(const Plot& plot, const Drawn& item) {
  const size_t slot = item.line->slot % kRunColours;
  const Series& raw = *item.line->series;
  std::string svg;
  if (item.smooth.values != raw.values) {
    svg += core::str(
        "<path class=\"raw s", slot, "\" d=\"", plot.path(thinned(raw, kDrawnPoints)), "\"/>");
  }
  svg += core::str("<path class=\"curve s",
                   slot,
                   "\" d=\"",
                   plot.path(thinned(item.smooth, kDrawnPoints)),
                   "\"/>");
  if (raw.values.size() > kMarkedPoints) return svg;
  for (size_t i = 0; i < raw.values.size(); ++i) {
    svg += core::str("<circle class=\"f",
                     slot,
                     "\" r=\"2.2\" cx=\"",
                     coordinate(plot.px(raw.steps[i])),
                     "\" cy=\"",
                     coordinate(plot.py(raw.values[i])),
                     "\"/>");
  }
  return svg;
}

/// Last values at the right edge, pushed apart where they would overlap.
std::string last_values(const Plot& plot, const std::vector<Drawn>& drawn) {
  struct Label {
    double y;
    size_t slot;
    double value;
  };
  std::vector<Label> labels;
  for (const Drawn& item : drawn) {
    const double value = item.smooth.values.back();
    labels.push_back({plot.py(value), item.line->slot % kRunColours, value});
  }
  std::stable_sort(
      labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
  for (size_t i = 1; i < labels.size(); ++i) {
    labels[i].y = std::max(labels[i].y, labels[i - 1].y + kLabelGap);
  }
  double limit = Plot::kBottom;
  for (size_t i = labels.size(); i-- > 0; limit = labels[i].y - kLabelGap) {
    labels[i].y = std::min(labels[i].y, limit);
  }
  std::string svg;
  for (const Label& label : labels) {
    svg += core::str("<text class=\"last t",
                     label.slot,
                     "\" x=\"",
                     Plot::kRight + 7,
                     "\" y=\"",
                     coordinate(label.y + 3.8),
                     "\">",
                     margin_number(label.value),
                     "</text>");
  }
  return svg;
}

/// The smoothed value at the point nearest to `step`; NaN outside of the series.
double value_near(const Series& series, double step, double reach) {
  const auto after = std::lower_bound(series.steps.begin(), series.steps.end(), step);
  auto at = static_cast<size_t>(after - series.steps.begin());
  if (at == series.steps.size() ||
      (at > 0 && step - series.steps[at - 1] < series.steps[at] - step)) {
    --at;
  }
  return std::abs(series.steps[at] - step) <= reach ? series.values[at] : std::nan("");
}

/// Invisible columns whose tooltips tell the values of all runs there.
std::string tooltips(const Plot& plot, const std::vector<Drawn>& drawn) {
  const auto longest =
      std::max_element(drawn.begin(), drawn.end(), [](const Drawn& a, const Drawn& b) {
        return a.smooth.steps.size() < b.smooth.steps.size();
      });
  const std::vector<double>& steps = longest->smooth.steps;
  const size_t bands = std::min(kBands, steps.size());
  const double width = (Plot::kRight - Plot::kLeft) / static_cast<double>(bands);
  const double reach = (plot.x.high - plot.x.low) / static_cast<double>(bands);
  std::string svg;
  for (size_t b = 0; b < bands; ++b) {
    const double step = steps[(2 * b + 1) * steps.size() / (2 * bands)];
    std::string text = core::str("step ", step);
    for (const Drawn& item : drawn) {
      const double value = value_near(item.smooth, step, reach);
      if (std::isfinite(value)) text += "\n" + escape(item.line->name) + "  " + number(value);
    }
    const double x = std::clamp(plot.px(step) - width / 2, Plot::kLeft, Plot::kRight - width);
    svg += core::str("<rect class=\"hover\" x=\"",
                     coordinate(x),
                     "\" y=\"",
                     Plot::kTop,
                     "\" width=\"",
                     coordinate(width),
                     "\" height=\"",
                     Plot::kBottom - Plot::kTop,
                     "\"><title>",
                     text,
                     "</title></rect>");
  }
  return svg;
}

}  // namespace

std::string run_mark(size_t slot) {
  return core::str("<i class=\"mark b", slot % kRunColours, "\"></i>");
}

std::string line_chart(const std::string& metric,
                       const std::string& meaning,
                       const std::vector<Line>& lines) {
  std::vector<Drawn> drawn;
  for (const Line& line : lines) {
    if (line.series->empty()) continue;
    drawn.push_back({&line, smooth_if_noisy(*line.series)});
  }
  if (drawn.empty()) return "";
  const Plot plot = make_plot(drawn);
  std::string html = "<figure><figcaption><b>" + escape(metric) + "</b>";
  if (!meaning.empty()) html += "<span>" + escape(meaning) + "</span>";
  html += "</figcaption>" + plot.open(metric + " over steps") + Plot::open_clip();
  // The first run is drawn last: on top.
  for (auto item = drawn.rbegin(); item != drawn.rend(); ++item) html += curve(plot, *item);
  html += "</svg>" + last_values(plot, drawn) + tooltips(plot, drawn);
  return html + "</svg></figure>\n";
}

}  // namespace sgrpo::telemetry::report
