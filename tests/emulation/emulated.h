// What the tests of emulated kernels share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/bf16_number.h"
#include "testing/cuda_emulation.h"

namespace sgrpo::testing {

/// Numbers in [-2, 2) from a linear congruence: any fixed sequence without pattern will do.
template <class T>
std::vector<T> numbers(int64_t count, uint64_t seed) {
  std::vector<T> result(static_cast<size_t>(count));
  uint64_t state = seed * 2 + 1;
  for (T& x : result) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<T>(static_cast<double>(state >> 11) * 0x1p-51 - 2.0);
  }
  return result;
}
template <>
inline std::vector<kernels::Bf16> numbers(int64_t count, uint64_t seed) {
  std::vector<kernels::Bf16> result;
  for (const float x : numbers<float>(count, seed)) result.push_back(kernels::Bf16::nearest(x));
  return result;
}

template <class T>
void expect_near(const std::vector<T>& got,
                 const std::vector<T>& expected,
                 double tolerance,
                 const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(static_cast<double>(static_cast<float>(got[i])),
                static_cast<double>(static_cast<float>(expected[i])),
                tolerance)
        << what << " " << i;
}
template <>
inline void expect_near(const std::vector<double>& got,
                        const std::vector<double>& expected,
                        double tolerance,
                        const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], tolerance) << what << " " << i;
}

/// `run(emulated)` launches through emulate() and gives a struct with operator==; the result, which
/// must be the same bits in every order of blocks, warps and lanes.
template <class Run>
auto in_every_schedule(const Run& run) {
  const auto first = run(kSchedules[0]);
  for (const Schedule schedule : kSchedules)
    EXPECT_TRUE(run(schedule) == first) << "schedule " << static_cast<int>(schedule);
  return first;
}

/// The message with which a launch ends; "" when it ends well.
template <class Work>
std::string fault_of(const Work& work, Schedule schedule = Schedule::kAscending) {
  try {
    emulate(schedule, work);
  } catch (const EmulationError& error) {
    return error.what();
  }
  return "";
}

}  // namespace sgrpo::testing
