// What one training step tells the outside: metrics, phase times. Free of tensors (telemetry links
// spdlog).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sgrpo {

/// Ordered name/value metrics of one step; names as in the metric list of the documentation.
class StepReport {
 public:
  /// Sets or replaces a metric, keeping the position of the first set.
  void set(const std::string& name, double value);
  /// Adds to a metric (starts at 0).
  void add(const std::string& name, double value);
  /// The value, or `fallback` when absent.
  double get(const std::string& name, double fallback = 0.0) const;
  bool has(const std::string& name) const;
  /// Copies every metric of `other` over this one's.
  void merge(const StepReport& other);
  const std::vector<std::pair<std::string, double>>& values() const { return values_; }

 private:
  std::vector<std::pair<std::string, double>> values_;
};

}  // namespace sgrpo
