// Mean and deviation of numbers that lie on several ranks.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace sgrpo::algorithm {

/// Count, sum and sum of squares around 0: exact enough in f64 for rewards of order 1, and a single
/// exchange between ranks.
class Moments {
 public:
  Moments() = default;
  /// What `sums` gave, added over the ranks.
  explicit Moments(const std::vector<double>& sums)
      : count_(sums.at(0)), sum_(sums.at(1)), squares_(sums.at(2)) {}

  void add(double value) {
    count_ += 1.0;
    sum_ += value;
    squares_ += value * value;
  }
  std::vector<double> sums() const { return {count_, sum_, squares_}; }

  double mean() const { return count_ > 0 ? sum_ / count_ : 0.0; }
  /// With divisor count - 1.
  double deviation() const {
    const double squares = std::max(squares_ - count_ * mean() * mean(), 0.0);
    return count_ > 1 ? std::sqrt(squares / (count_ - 1)) : 0.0;
  }
  /// Rounding of the sums alone must not look like a spread; 1e-7 is the root of f64's digits.
  bool is_flat(double min_spread) const {
    return deviation() <= std::max(min_spread, 1e-7 * std::max(1.0, std::abs(mean())));
  }

 private:
  double count_ = 0.0, sum_ = 0.0, squares_ = 0.0;
};

}  // namespace sgrpo::algorithm
