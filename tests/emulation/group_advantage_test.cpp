// The kernel of CUDA for injection and group advantages, emulated: the CPU's bits.
#include <gtest/gtest.h>

#include <vector>

#include "emulation/emulated.h"
#include "kernels/group_advantage/group_advantage_cuda.h"

namespace sgrpo::kernels {
namespace {

using sgrpo::testing::DeviceArray;
using sgrpo::testing::emulate;
using sgrpo::testing::in_every_schedule;
using sgrpo::testing::numbers;
using sgrpo::testing::Schedule;

constexpr int64_t kGroups = 300, kSize = 6;

struct Inputs {
  std::vector<double> rewards = numbers<double>(kGroups * kSize, 1);
  std::vector<double> score = numbers<double>(kGroups * kSize, 2);
  std::vector<double> gt_reward = numbers<double>(kGroups, 3);
  std::vector<uint8_t> status, may_inject;

  /// Every third group failed as a whole, every fourth may not be injected; some are smaller.
  Inputs() {
    for (int64_t p = 0; p < kGroups; ++p) {
      may_inject.push_back(p % 4 != 0);
      for (int64_t i = 0; i < kSize; ++i) {
        const double x = rewards[status.size()];
        const bool is_nobody = i >= kSize - p % 5;
        const uint8_t judged = p % 3 == 0 || x < 0.5 ? 1 : 0;
        status.push_back(is_nobody ? 3 : x < -1.0 ? 2 : judged);
      }
    }
  }
};

struct Results {
  std::vector<double> advantages;
  std::vector<int32_t> victim;
  std::vector<uint8_t> kind;
  bool operator==(const Results&) const = default;
};

Results on_device(GroupAdvantageParams params, const Inputs& in, Schedule schedule) {
  const DeviceArray<double> rewards(in.rewards), score(in.score), gt_reward(in.gt_reward),
      advantages(static_cast<size_t>(kGroups * (kSize + 1)), -99.0);
  const DeviceArray<uint8_t> status(in.status), may_inject(in.may_inject),
      kind(static_cast<size_t>(kGroups), 99);
  const DeviceArray<int32_t> victim(static_cast<size_t>(kGroups), -99);
  params.rewards = rewards.data();
  params.status = status.data();
  params.victim_score = score.data();
  params.may_inject = reinterpret_cast<const bool*>(may_inject.data());
  params.gt_reward = gt_reward.data();
  params.advantages = advantages.data();
  params.victim = victim.data();
  params.kind = kind.data();
  emulate(schedule, [&] { EXPECT_EQ(group_advantage_cuda(params, nullptr), cudaSuccess); });
  return {advantages.values(), victim.values(), kind.values()};
}

Results on_cpu(GroupAdvantageParams params, const Inputs& in) {
  Results results{std::vector<double>(static_cast<size_t>(kGroups * (kSize + 1))),
                  std::vector<int32_t>(static_cast<size_t>(kGroups)),
                  std::vector<uint8_t>(static_cast<size_t>(kGroups))};
  params.rewards = in.rewards.data();
  params.status = in.status.data();
  params.victim_score = in.score.data();
  params.may_inject = reinterpret_cast<const bool*>(in.may_inject.data());
  params.gt_reward = in.gt_reward.data();
  params.advantages = results.advantages.data();
  params.victim = results.victim.data();
  params.kind = results.kind.data();
  group_advantage_cpu(params);
  return results;
}

TEST(GroupAdvantage, gives_the_bits_of_the_cpu) {
  const Inputs in;
  for (const GroupTrigger when :
       {GroupTrigger::kNever, GroupTrigger::kAllFail, GroupTrigger::kWhereAllowed}) {
    for (const GroupMode mode : {GroupMode::kReplace, GroupMode::kAppend}) {
      for (const GroupStd std : {GroupStd::kNone, GroupStd::kSample, GroupStd::kPopulation}) {
        const GroupAdvantageParams params{.num_groups = kGroups,
                                          .group_size = kSize,
                                          .when = when,
                                          .mode = mode,
                                          .fail_weight = 0.7,
                                          .smoothing = std != GroupStd::kNone,
                                          .std = std,
                                          .eps = 1e-4};
        const Results got =
            in_every_schedule([&](Schedule schedule) { return on_device(params, in, schedule); });
        EXPECT_TRUE(got == on_cpu(params, in));
        const bool injects = std::any_of(
            got.victim.begin(), got.victim.end(), [](int32_t place) { return place >= 0; });
        EXPECT_EQ(injects, when != GroupTrigger::kNever);
      }
    }
  }
}

}  // namespace
}  // namespace sgrpo::kernels
