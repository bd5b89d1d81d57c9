// Groups of judged completions -> the injected ground truth and group-relative advantages, for P
// groups of up to G members. Torch-free.
#pragma once

#include <cstdint>

namespace sgrpo::kernels {

/// What the centred rewards are divided by; the values are part of the op's schema.
enum class GroupStd : int32_t { kNone = 0, kSample = 1, kPopulation = 2 };

/// What a member's verdict means to its group. Values of `status`.
enum class MemberStatus : uint8_t { kCorrect = 0, kFailed = 1, kNotJudged = 2, kNobody = 3 };

/// Which groups get the ground truth: those that may, and with kAllFail failed as a whole.
enum class GroupTrigger : int32_t { kNever = 0, kAllFail = 1, kWhereAllowed = 2 };

/// In a member's place, or behind the last.
enum class GroupMode : int32_t { kReplace = 0, kAppend = 1 };

/// Values of `kind`; members that were not judged have no say.
enum class JudgedKind : uint8_t { kAllFail = 0, kAllPass = 1, kMixed = 2, kNobodyJudged = 3 };

/// Arguments of one launch. Members come first, places without one (kNobody) last.
struct GroupAdvantageParams {
  const double* rewards = nullptr;       // [P, G]
  const uint8_t* status = nullptr;       // [P, G]
  const double* victim_score = nullptr;  // [P, G], the lowest goes; for kReplace alone
  const bool* may_inject = nullptr;      // [P]; this and what follows may be null for kNever
  const double* gt_reward = nullptr;     // [P]
  double* advantages = nullptr;          // [P, G + 1], 0 where nobody counts
  int32_t* victim = nullptr;             // [P], where the ground truth stands; -1: nowhere
  uint8_t* kind = nullptr;               // [P], before injection
  int64_t num_groups = 0;
  int64_t group_size = 0;
  GroupTrigger when = GroupTrigger::kNever;
  double min_spread = 0.0;  // rewards closer than this count as equal
  GroupMode mode = GroupMode::kReplace;
  double fail_weight = 1.0;  // on negative advantages of injected groups
  bool smoothing = false;    // the mean reward for a ground truth that a member equals
  GroupStd std = GroupStd::kSample;
  double eps = 0.0;
};

/// Fills the outputs on the calling thread.
void group_advantage_cpu(const GroupAdvantageParams& params);

}  // namespace sgrpo::kernels
