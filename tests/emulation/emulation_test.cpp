// The emulation itself: kernels with one fault each.
#include "testing/cuda_emulation.h"

#include <gtest/gtest.h>

#include "emulation/emulated.h"
#include "emulation/toy_kernels.h"

namespace sgrpo::testing {
namespace {

/// The message with which a toy ends.
std::string fault(Toy toy,
                  Schedule schedule = Schedule::kAscending,
                  int blocks = 1,
                  int threads = 64) {
  const auto count = static_cast<int64_t>(threads);
  const DeviceArray<float> in(numbers<float>(count, 1)), out(static_cast<size_t>(count), -1.0f);
  return fault_of([&] { launch_toy(toy, in.data(), out.data(), blocks, threads); }, schedule);
}

TEST(Emulation, a_right_kernel_runs_in_every_schedule) {
  const std::vector<float> in = numbers<float>(64, 1);
  for (const Schedule schedule : kSchedules) {
    const DeviceArray<float> source(in), out(64, -1.0f);
    emulate(schedule, [&] {
      EXPECT_EQ(launch_toy(Toy::kReverse, source.data(), out.data(), 1, 64), cudaSuccess);
    });
    EXPECT_EQ(out.values(), (std::vector<float>{in.rbegin(), in.rend()}));
  }
}

TEST(Emulation, launches_beyond_the_limits_are_refused) {
  const DeviceArray<float> memory(64, 0.0f);
  EXPECT_EQ(launch_toy(Toy::kReverse, memory.data(), memory.data(), 1, 1025),
            cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch_toy(Toy::kReverse, memory.data(), memory.data(), 0, 64), cudaSuccess);
  EXPECT_EQ(fault(Toy::kSharedTooLarge),
            "block 0 thread 0: declares more than 48 KiB of shared memory");
}

TEST(Emulation, missing_threads_and_lanes_are_found) {
  EXPECT_EQ(fault(Toy::kEarlyExit),
            "block 0 thread 0: thread 0 waits at the barrier of line 43 of toy_kernels.cu, but "
            "thread 40 has left the kernel");
  EXPECT_EQ(fault(Toy::kDivergentBarrier),
            "block 0 thread 0: thread 0 waits at the barrier of line 38 of toy_kernels.cu, but "
            "thread 32 waits at the barrier of line 40 of toy_kernels.cu");
  EXPECT_EQ(fault(Toy::kHalfShuffle),
            "block 0 thread 0: thread 0 waits at a shuffle of lanes 0xffffffff, but thread 1 has "
            "left the kernel");
  EXPECT_EQ(fault(Toy::kForeignMask),
            "block 0 thread 16: calls a shuffle whose mask leaves it out");
  EXPECT_EQ(fault(Toy::kAbsentSource),
            "block 0 thread 0: shuffles with lane 16, which takes no part");
  EXPECT_EQ(fault(Toy::kShortWarp, Schedule::kAscending, 1, 40),
            "block 0 thread 32: shuffles with lane 8 of a warp that has fewer");
}

TEST(Emulation, accesses_out_of_bounds_are_found) {
  if (!sees_accesses()) GTEST_SKIP() << "the sanitizer looks at accesses in this build";
  EXPECT_EQ(fault(Toy::kBeyond),
            "block 0 thread 63: writes 4 bytes at byte 256 of a buffer of 256");
  EXPECT_EQ(fault(Toy::kBefore), "block 0 thread 0: reads 4 bytes 4 bytes before a buffer");
  EXPECT_EQ(fault(Toy::kMisaligned),
            "block 0 thread 0: reads 16 bytes at byte 4 of a buffer of 256, which is not aligned "
            "to them");
  EXPECT_EQ(fault(Toy::kNowhere),
            "block 0 thread 0: reads 4 bytes at an address that is no device memory");
  EXPECT_EQ(fault(Toy::kSharedUnwritten),
            "block 0 thread 0: reads 4 bytes at byte 0 of shared memory of 256 before a thread of "
            "the block has written it");
  EXPECT_EQ(fault(Toy::kSharedBeyond),
            "block 0 thread 63: writes 4 bytes at byte 256 of shared memory of 256");
}

TEST(Emulation, races_are_found_in_every_schedule) {
  if (!sees_accesses()) GTEST_SKIP() << "the sanitizer looks at accesses in this build";
  const auto ends_with = [](Toy toy, Schedule schedule, const std::string& what, int blocks = 1) {
    return fault(toy, schedule, blocks).find(what) != std::string::npos;
  };
  for (const Schedule schedule : kSchedules) {
    // The first warp to run reads what the other has not written yet.
    EXPECT_TRUE(ends_with(Toy::kNoBarrier, schedule, "before a thread of the block has written"));
    EXPECT_TRUE(ends_with(Toy::kTwoWriters, schedule, "without a barrier since block 0 thread"));
    EXPECT_TRUE(ends_with(Toy::kNeighbourBlocks, schedule, "without a barrier since block", 2));
  }
}

TEST(Emulation, pages_around_memory_catch_what_nobody_looks_at) {
  if (!sees_accesses()) GTEST_SKIP() << "the sanitizer looks at copies in this build";
  EXPECT_EQ(fault(Toy::kBulkCopy), "block 0 thread 0: touches a page that nobody may touch");
  EXPECT_EQ(fault(Toy::kDeepStack), "block 0 thread 0: needs more than 64 KiB of stack");
}

TEST(Emulation, the_next_launch_is_right_after_a_fault) {
  EXPECT_NE(fault(Toy::kNoBarrier) + fault(Toy::kEarlyExit), "");
  EXPECT_EQ(fault(Toy::kReverse), "");
}

}  // namespace
}  // namespace sgrpo::testing
