#include "telemetry/report/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sgrpo::telemetry::report {
namespace {

/// 1, 2, 2.5 or 5 times a power of ten, not below `wanted`.
double round_interval(double wanted, bool whole) {
  const double power = std::pow(10.0, std::floor(std::log10(wanted)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
    const double interval = factor * power;
    if (whole && interval != std::floor(interval)) continue;
    if (interval >= wanted * (1.0 - 1e-9)) return interval;
  }
  return whole ? std::max(1.0, std::ceil(wanted)) : 10.0 * power;
}

/// All labels with as many decimals as the interval needs; `largest` (0 = ordinary) decides between
/// plain numbers, exponents and k, M, G.
std::string tick_label(double value, double interval, double largest) {
  if (std::abs(value) < interval * 1e-6) return "0";
  if (largest >= 1e5 && largest < 1e12) {
    const double unit = largest >= 1e9 ? 1e9 : largest >= 1e6 ? 1e6 : 1e3;
    const char* suffix = unit == 1e9 ? "G" : unit == 1e6 ? "M" : "k";
    return tick_label(value / unit, interval / unit, 0.0) + suffix;
  }
  if (largest != 0.0 && (largest < 1e-3 || largest >= 1e12)) {
    const double exponent = std::floor(std::log10(std::abs(value)) + 1e-9);
    char text[48];
    std::snprintf(
        text, sizeof text, "%.4ge%d", value / std::pow(10.0, exponent), static_cast<int>(exponent));
    return text;
  }
  int decimals = 0;
  for (double scaled = interval; decimals < 8; ++decimals, scaled *= 10.0) {
    if (std::abs(scaled - std::round(scaled)) < 1e-6 * scaled) break;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

void add_ticks(Axis& axis, double interval) {
  const double largest = std::max(std::abs(axis.low), std::abs(axis.high));
  const double first = std::ceil(axis.low / interval - 1e-6);
  for (double i = first; i * interval <= axis.high + interval * 1e-6; i += 1.0) {
    axis.ticks.push_back(i * interval);
    axis.labels.push_back(tick_label(i * interval, interval, largest));
  }
}

}  // namespace

Axis round_axis(double low, double high, int count, bool whole) {
  if (low >= 0.0 && low <= 0.5 * high) low = 0.0;
  if (high <= 0.0 && high >= 0.5 * low) high = 0.0;
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high))) {
    const double margin = low == 0.0 ? 1.0 : 0.1 * std::abs(low);
    high += margin;
    if (low != 0.0) low -= margin;
  }
  const double interval = round_interval((high - low) / count, whole);
  Axis axis;
  axis.low = std::floor(low / interval + 1e-6) * interval;
  axis.high = std::ceil(high / interval - 1e-6) * interval;
  add_ticks(axis, interval);
  return axis;
}

Axis fitted_axis(double low, double high, int count) {
  Axis axis{.low = low, .high = high > low ? high : low + 1.0, .ticks = {}, .labels = {}};
  add_ticks(axis, round_interval((axis.high - axis.low) / count, true));
  return axis;
}

}  // namespace sgrpo::telemetry::report
