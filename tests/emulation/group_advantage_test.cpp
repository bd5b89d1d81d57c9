// The kernel of CUDA for group advantages, emulated: the CPU's bits.
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

TEST(GroupAdvantage, gives_the_bits_of_the_cpu) {
  constexpr int64_t kGroups = 300, kSize = 6;
  const std::vector<double> rewards = numbers<double>(kGroups * kSize, 1);
  for (const GroupStd std : {GroupStd::kNone, GroupStd::kSample, GroupStd::kPopulation}) {
    std::vector<uint8_t> valid(rewards.size());
    for (size_t i = 0; i < valid.size(); ++i) valid[i] = rewards[i] > -1.5;
    GroupAdvantageParams params{
        .num_groups = kGroups, .group_size = kSize, .std = std, .eps = 1e-4};
    const auto got = in_every_schedule([&](Schedule schedule) {
      const DeviceArray<double> in(rewards), out(rewards.size(), -99.0);
      const DeviceArray<uint8_t> flags(valid);
      params.rewards = in.data();
      params.valid = reinterpret_cast<const bool*>(flags.data());
      params.advantages = out.data();
      emulate(schedule, [&] { EXPECT_EQ(group_advantage_cuda(params, nullptr), cudaSuccess); });
      return out.values();
    });
    std::vector<double> expected(rewards.size());
    params.rewards = rewards.data();
    params.valid = reinterpret_cast<const bool*>(valid.data());
    params.advantages = expected.data();
    group_advantage_cpu(params);
    EXPECT_EQ(got, expected);
  }
}

}  // namespace
}  // namespace sgrpo::kernels
