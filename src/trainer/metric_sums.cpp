#include "trainer/metric_sums.h"

#include <algorithm>
#include <limits>

namespace sgrpo::trainer {

void MetricSums::mean(const std::string& name, double sum, double count) {
  entries_.push_back({name, Kind::kMean, sum, count});
}

void MetricSums::lowest(const std::string& name, double value, int64_t count) {
  entries_.push_back({name, Kind::kLowest, value, static_cast<double>(count)});
}

void MetricSums::highest(const std::string& name, double value, int64_t count) {
  entries_.push_back({name, Kind::kHighest, value, static_cast<double>(count)});
}

StepReport MetricSums::reduce(distributed::Communicator& communicator) const {
  // Minima are negated maxima, so that two exchanges carry everything.
  constexpr double kNothing = -std::numeric_limits<double>::max();
  std::vector<double> sums, maxima;
  for (const Entry& entry : entries_) {
    sums.push_back(entry.kind == Kind::kMean ? entry.value : 0.0);
    sums.push_back(entry.count);
    const double signed_value = entry.kind == Kind::kLowest ? -entry.value : entry.value;
    maxima.push_back(entry.count > 0 ? signed_value : kNothing);
  }
  sums = communicator.reduce(std::move(sums));
  maxima = communicator.reduce(std::move(maxima), distributed::Reduction::kMax);
  StepReport report;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const double count = sums[2 * i + 1];
    double value = 0.0;
    if (count > 0) {
      value = entries_[i].kind == Kind::kMean     ? sums[2 * i] / count
              : entries_[i].kind == Kind::kLowest ? -maxima[i]
                                                  : maxima[i];
    }
    report.set(entries_[i].name, value);
  }
  return report;
}

}  // namespace sgrpo::trainer
