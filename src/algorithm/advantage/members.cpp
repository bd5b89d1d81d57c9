#include "algorithm/advantage/members.h"

#include <ATen/ATen.h>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

ops::Deviation deviation_of(RewardScale scale) {
  switch (scale) {
    case RewardScale::kSample: return ops::Deviation::kSample;
    case RewardScale::kPopulation: return ops::Deviation::kPopulation;
    case RewardScale::kNone:
    case RewardScale::kBatch: break;
  }
  return ops::Deviation::kNone;
}

}  // namespace

Members valid_members(const RolloutGroup& group) {
  Members members;
  for (const GroupMember& member : group.members) {
    if (member.verdict.is_valid()) members.push_back(&member);
  }
  return members;
}

std::vector<double> rewards_of(const Members& members) {
  std::vector<double> rewards;
  for (const GroupMember* member : members) rewards.push_back(member->reward());
  return rewards;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

std::vector<RolloutGroup> by_group(std::vector<RolloutGroup> groups,
                                   const GroupEstimate& estimate) {
  for (RolloutGroup& group : groups) {
    const std::vector<double> advantages = estimate(group, valid_members(group));
    size_t next = 0;
    for (GroupMember& member : group.members)
      member.set_advantage(member.verdict.is_valid() ? advantages.at(next++) : 0.0);
  }
  return groups;
}

std::vector<double> Normalization::operator()(const std::vector<double>& rewards) const {
  if (rewards.empty()) return {};
  const auto row = at::tensor(rewards, at::kDouble).unsqueeze(0);
  const auto status =
      at::full_like(row, static_cast<int64_t>(ops::MemberStatus::kFailed), at::kByte);
  const at::Tensor result = ops::group_advantage(row, status, formula()).advantages;
  const auto* values = result.const_data_ptr<double>();
  return {values, values + rewards.size()};
}

Normalization group_normalization(const AlgorithmOptions& options, const std::string& estimator) {
  if (options.std == RewardScale::kBatch && !estimator.empty()) {
    throw core::UserError(core::str("algorithm.std is batch, which estimator ",
                                    estimator,
                                    " does not have: expected sample, population or none"));
  }
  return {
      .std = deviation_of(options.std), .eps = options.std_eps, .min_spread = options.min_spread};
}

}  // namespace sgrpo::algorithm
