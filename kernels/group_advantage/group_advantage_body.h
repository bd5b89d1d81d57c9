// One group: the single body behind the CPU loop and the CUDA kernel.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/host_device.h"
#include "kernels/group_advantage/group_advantage.h"
#include "kernels/group_advantage/spread.h"

namespace sgrpo::kernels {

/// A group with its ground truth in place, where it has one.
struct RepairedGroup {
  const double* rewards;
  const uint8_t* status;
  int64_t size;        // G
  int64_t place = -1;  // of the ground truth
  double truth = 0.0;  // its reward

  SGRPO_HOST_DEVICE bool is(int64_t i, MemberStatus what) const {
    return status[i] == static_cast<uint8_t>(what);
  }
  SGRPO_HOST_DEVICE bool is_judged(int64_t i) const {
    return is(i, MemberStatus::kCorrect) || is(i, MemberStatus::kFailed);
  }
  /// Whether the i-th of G + 1 counts; the ground truth does.
  SGRPO_HOST_DEVICE bool counts(int64_t i) const {
    return i == place || (i < size && is_judged(i));
  }
  SGRPO_HOST_DEVICE double reward(int64_t i) const { return i == place ? truth : rewards[i]; }
};

SGRPO_HOST_DEVICE inline JudgedKind kind_of(const RepairedGroup& group) {
  int64_t judged = 0, correct = 0;
  for (int64_t i = 0; i < group.size; ++i) {
    judged += group.is_judged(i);
    correct += group.is(i, MemberStatus::kCorrect);
  }
  if (judged == 0) return JudgedKind::kNobodyJudged;
  if (correct == 0) return JudgedKind::kAllFail;
  return correct == judged ? JudgedKind::kAllPass : JudgedKind::kMixed;
}

/// Whom the ground truth replaces: who was not judged goes first, then the lowest score, then the
/// lowest index.
SGRPO_HOST_DEVICE inline int64_t victim_of(const RepairedGroup& group, const double* score) {
  int64_t victim = 0;
  for (int64_t i = 1; i < group.size && !group.is(i, MemberStatus::kNobody); ++i) {
    const bool is_judged = group.is_judged(i), best_is_judged = group.is_judged(victim);
    if (is_judged ? best_is_judged && score[i] < score[victim]
                  : best_is_judged || score[i] < score[victim])
      victim = i;
  }
  return victim;
}

/// Behind the last member.
SGRPO_HOST_DEVICE inline int64_t place_behind(const RepairedGroup& group) {
  int64_t place = 0;
  while (place < group.size && !group.is(place, MemberStatus::kNobody)) ++place;
  return place;
}

/// The ground truth's reward where a member is as good: the mean of the members.
SGRPO_HOST_DEVICE inline double smoothed(const RepairedGroup& group) {
  double sum = 0.0, highest = -INFINITY;
  int64_t count = 0;
  for (int64_t i = 0; i < group.size; ++i) {
    if (i == group.place || !group.is_judged(i)) continue;
    sum += group.rewards[i];
    highest = fmax(highest, group.rewards[i]);
    ++count;
  }
  return count > 0 && highest >= group.truth ? sum / static_cast<double>(count) : group.truth;
}

/// (r - mean) / (s + eps) over those who count; zeros when they do not differ.
///
/// Sums run over deviations from the first reward in member order, so a common offset costs no
/// digits and CPU and CUDA agree bit for bit (the one product is an explicit fma: nvcc would
/// otherwise contract it and g++ would not).
SGRPO_HOST_DEVICE inline void write_advantages(const GroupAdvantageParams& params,
                                               const RepairedGroup& group,
                                               double* advantages) {
  int64_t count = 0;
  double pivot = 0.0, offset_sum = 0.0, lowest = 0.0, highest = 0.0;
  for (int64_t i = 0; i <= group.size; ++i) {
    if (!group.counts(i)) continue;
    const double reward = group.reward(i);
    if (count == 0) pivot = lowest = highest = reward;
    lowest = fmin(lowest, reward);
    highest = fmax(highest, reward);
    offset_sum += reward - pivot;
    ++count;
  }
  const double offset_mean = count > 0 ? offset_sum / static_cast<double>(count) : 0.0;

  const bool differ = has_spread(lowest, highest, params.min_spread);
  double divisor = 1.0;
  if (differ && params.std != GroupStd::kNone) {
    double squares = 0.0;
    for (int64_t i = 0; i <= group.size; ++i) {
      if (!group.counts(i)) continue;
      const double centred = group.reward(i) - pivot - offset_mean;
      squares = fma(centred, centred, squares);
    }
    const int64_t freedom = params.std == GroupStd::kSample ? count - 1 : count;
    divisor = sqrt(squares / static_cast<double>(freedom)) + params.eps;
  }
  for (int64_t i = 0; i <= group.size; ++i) {
    double advantage = 0.0;
    if (differ && group.counts(i)) advantage = (group.reward(i) - pivot - offset_mean) / divisor;
    if (group.place >= 0 && advantage < 0.0) advantage *= params.fail_weight;
    advantages[i] = advantage;
  }
}

SGRPO_HOST_DEVICE inline void group_advantage_body(const GroupAdvantageParams& params, int64_t p) {
  const int64_t first = p * params.group_size;
  RepairedGroup group{params.rewards + first, params.status + first, params.group_size};
  const JudgedKind kind = kind_of(group);
  const bool triggers = kind != JudgedKind::kNobodyJudged && params.when != GroupTrigger::kNever &&
                        (params.when != GroupTrigger::kAllFail || kind == JudgedKind::kAllFail);
  if (triggers && params.may_inject[p]) {
    group.truth = params.gt_reward[p];
    group.place = params.mode == GroupMode::kAppend ? place_behind(group)
                                                    : victim_of(group, params.victim_score + first);
    if (params.smoothing) group.truth = smoothed(group);
  }
  params.victim[p] = static_cast<int32_t>(group.place);
  params.kind[p] = static_cast<uint8_t>(kind);
  write_advantages(params, group, params.advantages + p * (params.group_size + 1));
}

}  // namespace sgrpo::kernels
