// Metrics of one step as sums and counts, which all ranks add before anything is divided.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/distributed/communicator.h"
#include "sgrpo/types/step_report.h"

namespace sgrpo::trainer {

/// Collects metrics in the order of the report.
class MetricSums {
 public:
  /// The mean of `count` values that add up to `sum`; 0 over nothing.
  void mean(const std::string& name, double sum, double count);
  /// A mean that is no number where nothing was counted: the metric is absent then.
  void mean_if_any(const std::string& name, double sum, double count);
  /// The lowest and the highest of all ranks; a rank without any gives `count` 0.
  void lowest(const std::string& name, double value, int64_t count);
  void highest(const std::string& name, double value, int64_t count);

  /// The same calls on every rank, whatever was collected.
  StepReport reduce(distributed::Communicator& communicator) const;

 private:
  enum class Kind { kMean, kMeanIfAny, kLowest, kHighest };
  struct Entry {
    std::string name;
    Kind kind;
    double value, count;
  };
  std::vector<Entry> entries_;
};

}  // namespace sgrpo::trainer
