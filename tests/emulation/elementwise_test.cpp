// Rotary and SwiGLU on CUDA, emulated, against the CPU's kernels.
#include <gtest/gtest.h>

#include <vector>

#include "emulation/layers.h"
#include "kernels/layers/layers_cuda.h"

namespace sgrpo::kernels {
namespace {

using sgrpo::testing::DeviceArray;
using sgrpo::testing::emulate;
using sgrpo::testing::expect_near;
using sgrpo::testing::in_every_schedule;
using sgrpo::testing::measure;
using sgrpo::testing::numbers;
using sgrpo::testing::Schedule;
using sgrpo::testing::sees_accesses;
using sgrpo::testing::Traffic;

template <class T>
Pair<T> rotate_on_device(int64_t heads, int64_t dims, Schedule schedule, Traffic* traffic) {
  constexpr int64_t kRows = 5;
  const int64_t row_stride = heads * dims + 16;
  const DeviceArray<T> x(numbers<T>(kRows * row_stride, 1)),
      out(static_cast<size_t>(kRows * heads * dims), T{}),
      back(static_cast<size_t>(kRows * heads * dims), T{});
  const DeviceArray<float> cosine(numbers<float>(kRows * dims / 2, 2)),
      sine(numbers<float>(kRows * dims / 2, 3));
  RotateParams<T> params{.x = x.data(),
                         .row_stride = row_stride,
                         .head_stride = dims,
                         .cos = cosine.data(),
                         .sin = sine.data(),
                         .num_heads = heads,
                         .head_dim = dims};
  const auto work = [&] {
    EXPECT_EQ(rotate_cuda(params, out.data(), kRows, nullptr), cudaSuccess);
    params.inverse = true;
    EXPECT_EQ(rotate_cuda(params, back.data(), kRows, nullptr), cudaSuccess);
  };
  if (traffic != nullptr) {
    *traffic = measure(work);
  } else {
    emulate(schedule, work);
  }
  return {out.values(), back.values(), {}};
}

template <class T>
Pair<T> rotate_on_cpu(int64_t heads, int64_t dims) {
  constexpr int64_t kRows = 5;
  const int64_t row_stride = heads * dims + 16;
  const std::vector<T> x = numbers<T>(kRows * row_stride, 1);
  const auto cosine = numbers<float>(kRows * dims / 2, 2),
             sine = numbers<float>(kRows * dims / 2, 3);
  const auto size = static_cast<size_t>(kRows * heads * dims);
  Pair<T> result{std::vector<T>(size), std::vector<T>(size), {}};
  RotateParams<T> params{.x = x.data(),
                         .row_stride = row_stride,
                         .head_stride = dims,
                         .cos = cosine.data(),
                         .sin = sine.data(),
                         .num_heads = heads,
                         .head_dim = dims};
  rotate_cpu(params, result.first.data(), 0, kRows);
  params.inverse = true;
  rotate_cpu(params, result.second.data(), 0, kRows);
  return result;
}

template <class T>
void expect_rotate_matches() {
  for (const int64_t heads : {1, 4, 6}) {
    for (const int64_t dims : {2, 20, 64, 80, 128}) {
      const auto got = in_every_schedule(
          [&](Schedule schedule) { return rotate_on_device<T>(heads, dims, schedule, nullptr); });
      const auto expected = rotate_on_cpu<T>(heads, dims);
      expect_near(got.first, expected.first, kTolerance<T>, "out");
      expect_near(got.second, expected.second, kTolerance<T>, "back");
    }
  }
}

TEST(Rotate, matches_the_cpu_in_float) { expect_rotate_matches<float>(); }
TEST(Rotate, matches_the_cpu_in_bfloat16) { expect_rotate_matches<Bf16>(); }

// x and out once a number, cos and sin, 4 bytes each, once for four heads.
TEST(Rotate, moves_every_number_once) {
  if (!sees_accesses()) GTEST_SKIP() << "this build does not look at accesses";
  Traffic traffic;
  rotate_on_device<Bf16>(16, 128, Schedule::kAscending, &traffic);
  const double theory = 2 * 5.0 * (16 * 128 * 2 * 2 + 4 * 64 * 2 * 4);
  EXPECT_LE(static_cast<double>(traffic.bytes()), 1.2 * theory);
  EXPECT_LE(static_cast<double>(traffic.sector_bytes()), 1.2 * theory);
}

template <class T>
Pair<T> swiglu_on_device(const Shape& shape, Schedule schedule, Traffic* traffic = nullptr) {
  const int64_t size = shape.rows * shape.width;
  const DeviceArray<T> gate(numbers<T>(shape.rows * shape.stride, 1)), up(numbers<T>(size, 2)),
      grad(numbers<T>(size, 3)), out(static_cast<size_t>(size), T{}),
      grad_gate(static_cast<size_t>(size), T{}), grad_up(static_cast<size_t>(size), T{});
  const SwigluParams<T> params{{gate.data(), shape.stride}, {up.data(), shape.width}, shape.width};
  const auto work = [&] {
    EXPECT_EQ(swiglu_forward_cuda(params, out.data(), shape.rows, nullptr), cudaSuccess);
    EXPECT_EQ(swiglu_backward_cuda(
                  params, {grad.data(), grad_gate.data(), grad_up.data()}, shape.rows, nullptr),
              cudaSuccess);
  };
  if (traffic != nullptr) {
    *traffic = measure(work);
  } else {
    emulate(schedule, work);
  }
  std::vector<float> forward;
  for (const T value : out.values()) forward.push_back(static_cast<float>(value));
  return {grad_gate.values(), grad_up.values(), forward};
}

template <class T>
Pair<T> swiglu_on_cpu(const Shape& shape) {
  const int64_t size = shape.rows * shape.width;
  const std::vector<T> gate = numbers<T>(shape.rows * shape.stride, 1), up = numbers<T>(size, 2),
                       grad = numbers<T>(size, 3);
  std::vector<T> out(grad.size()), grad_gate(grad.size()), grad_up(grad.size());
  const SwigluParams<T> params{{gate.data(), shape.stride}, {up.data(), shape.width}, shape.width};
  swiglu_forward_cpu(params, out.data(), 0, shape.rows);
  swiglu_backward_cpu(
      params, SwigluGradients<T>{grad.data(), grad_gate.data(), grad_up.data()}, 0, shape.rows);
  std::vector<float> forward;
  for (const T value : out) forward.push_back(static_cast<float>(value));
  return {grad_gate, grad_up, forward};
}

template <class T>
void expect_swiglu_matches() {
  for (const Shape& shape : kShapes) {
    const auto got =
        in_every_schedule([&](Schedule schedule) { return swiglu_on_device<T>(shape, schedule); });
    const auto expected = swiglu_on_cpu<T>(shape);
    expect_near(got.first, expected.first, kTolerance<T>, "grad_gate");
    expect_near(got.second, expected.second, kTolerance<T>, "grad_up");
    expect_near(got.third, expected.third, kTolerance<T>, "out");
  }
}

TEST(Swiglu, matches_the_cpu_in_float) { expect_swiglu_matches<float>(); }
TEST(Swiglu, matches_the_cpu_in_bfloat16) { expect_swiglu_matches<Bf16>(); }

// Forward gate, up and out, backward grad, gate, up and two gradients: eight numbers.
TEST(Swiglu, moves_every_number_once) {
  if (!sees_accesses()) GTEST_SKIP() << "this build does not look at accesses";
  Traffic traffic;
  swiglu_on_device<Bf16>({4, 2048, 2048}, Schedule::kAscending, &traffic);
  const double theory = 8.0 * 4 * 2048 * 2;
  EXPECT_LE(static_cast<double>(traffic.bytes()), 1.2 * theory);
  EXPECT_LE(static_cast<double>(traffic.sector_bytes()), 1.2 * theory);
}

}  // namespace
}  // namespace sgrpo::kernels
