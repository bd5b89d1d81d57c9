#include "trainer/metric_sums.h"

#include <algorithm>
#include <limits>

namespace sgrpo::trainer {

void MetricSums::mean(const std::string& name, double sum, double count) {
  entries_.push_back({name, Kind::kMean, sum, count});
}

void MetricSums::mean_if_any(const std::string& name, double sum, double count) {
  entries_.push_back({name, Kind::kMeanIfAny, sum, count});
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
    const bool is_mean = entry.kind == Kind::kMean || entry.kind == Kind::kMeanIfAny;
    sums.push_back(is_mean ? entry.value : 0.0);
    sums.push_back(entry.count);
    const double signed_value = entry.kind == Kind::kLowest ? -entry.value : entry.value;
    maxima.push_back(entry.count > 0 ? signed_value : kNothing);
  }
  sums = communicator.reduce(std::move(sums));
  maxima = communicator.reduce(std::move(maxima), distributed::Reduction::kMax);
  StepReport report;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const double count = sums[2 * i + 1];
    const Kind kind = entries_[i].kind;
    if (count == 0 && kind == Kind::kMeanIfAny) continue;
    double value = 0.0;
    if (count > 0) {
      value = kind == Kind::kLowest    ? -maxima[i]
              : kind == Kind::kHighest ? maxima[i]
                                       : sums[2 * i] / count;
    }
    report.set(entries_[i].name, value);
  }
  return report;
}

}  // namespace sgrpo::trainer
