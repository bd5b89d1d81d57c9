// The frame of an SVG chart: maps steps and values to pixels, draws axes.
#pragma once

#include <string>

#include "telemetry/report/axis.h"
#include "telemetry/report/data.h"

namespace sgrpo::telemetry::report {

/// Geometry shared by all charts, in SVG units (about pixels).
struct Plot {
  static constexpr double kWidth = 420, kHeight = 220;
  static constexpr double kLeft = 46, kRight = 366, kTop = 10, kBottom = 192;
  Axis x, y;

  double px(double step) const {
    return kLeft + (step - x.low) / (x.high - x.low) * (kRight - kLeft);
  }
  double py(double value) const {
    return kBottom - (value - y.low) / (y.high - y.low) * (kBottom - kTop);
  }
  /// "M1,2L3,4...": the polyline through a series.
  std::string path(const Series& series) const;
  /// <svg ...> with grid, tick labels and a text alternative.
  std::string open(const std::string& description) const;
  /// Begins a part that is cut off at the frame.
  static std::string open_clip();
};

}  // namespace sgrpo::telemetry::report
