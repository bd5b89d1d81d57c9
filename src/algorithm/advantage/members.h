// The members of a group that take part in its advantages, and one list of rewards at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/ops/deviation.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

using Members = std::vector<const GroupMember*>;

/// Members with a valid verdict, in their order.
Members valid_members(const RolloutGroup& group);

/// The rewards that advantages use.
std::vector<double> rewards_of(const Members& members);

double mean_of(const std::vector<double>& values);

/// One advantage for each of a group's valid members.
using GroupEstimate = std::function<std::vector<double>(const RolloutGroup&, const Members&)>;

/// Writes what `estimate` says of each group into all tokens of its valid members, 0 into the rest.
std::vector<RolloutGroup> by_group(std::vector<RolloutGroup> groups, const GroupEstimate& estimate);

/// How a list of rewards is normalised.
struct Normalization {
  ops::Deviation std = ops::Deviation::kSample;
  double eps = 0.0, min_spread = 0.0;

  ops::GroupFormula formula() const { return {std, eps, min_spread}; }
  /// (r - mean) / (s + eps); zeros without spread.
  std::vector<double> operator()(const std::vector<double>& rewards) const;
};

/// std, std_eps and min_spread of the configuration. Throws core::UserError for `std: batch`, which
/// `estimator` does not have.
Normalization group_normalization(const AlgorithmOptions& options, const std::string& estimator);

}  // namespace sgrpo::algorithm
