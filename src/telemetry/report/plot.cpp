#include "telemetry/report/plot.h"

#include "sgrpo/core/error.h"
#include "telemetry/report/html.h"

namespace sgrpo::telemetry::report {

std::string Plot::path(const Series& series) const {
  std::string path;
  for (size_t i = 0; i < series.values.size(); ++i) {
    path += i == 0 ? 'M' : 'L';
    path += coordinate(px(series.steps[i])) + "," + coordinate(py(series.values[i]));
  }
  return path;
}

std::string Plot::open(const std::string& description) const {
  std::string svg = core::str("<svg viewBox=\"0 0 ",
                              kWidth,
                              " ",
                              kHeight,
                              "\" role=\"img\" aria-label=\"",
                              escape(description),
                              "\">");
  for (size_t i = 0; i < y.ticks.size(); ++i) {
    const double at = py(y.ticks[i]);
    svg += core::str("<path class=\"",
                     y.ticks[i] == 0.0 ? "zero" : "grid",
                     "\" d=\"M",
                     kLeft,
                     ",",
                     coordinate(at),
                     "H",
                     kRight,
                     "\"/><text x=\"",
                     kLeft - 7,
                     "\" y=\"",
                     coordinate(at + 3.8),
                     "\" class=\"end\">",
                     y.labels[i],
                     "</text>");
  }
  for (size_t i = 0; i < x.ticks.size(); ++i) {
    svg += core::str("<text x=\"",
                     coordinate(px(x.ticks[i])),
                     "\" y=\"",
                     kBottom + 17,
                     "\" class=\"mid\">",
                     x.labels[i],
                     "</text>");
  }
  return svg + core::str("<text x=\"", kRight + 18, "\" y=\"", kBottom + 17, "\">step</text>");
}

std::string Plot::open_clip() {
  // A nested svg clips by itself; its viewBox keeps the outer coordinates.
  const std::string box = core::str(kLeft, " ", kTop, " ", kRight - kLeft, " ", kBottom - kTop);
  return core::str("<svg x=\"",
                   kLeft,
                   "\" y=\"",
                   kTop,
                   "\" width=\"",
                   kRight - kLeft,
                   "\" height=\"",
                   kBottom - kTop,
                   "\" viewBox=\"",
                   box,
                   "\">");
}

}  // namespace sgrpo::telemetry::report
