// RMS norm on CUDA, emulated, against the CPU's kernels.
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

/// Sums over all rows of the weight's gradient, in the order of the chunks.
std::vector<float> sum_of_chunks(const std::vector<float>& partial, int64_t width) {
  std::vector<float> total(static_cast<size_t>(width));
  for (size_t i = 0; i < partial.size(); ++i) total[i % total.size()] += partial[i];
  return total;
}

template <class T>
Pair<T> norm_on_device(const Shape& shape, Schedule schedule, Traffic* traffic = nullptr) {
  const int64_t size = shape.rows * shape.width;
  const DeviceArray<T> x(numbers<T>(shape.rows * shape.stride, 1)), grad(numbers<T>(size, 3)),
      weight(numbers<T>(shape.width, 2)), out(static_cast<size_t>(size), T{}),
      grad_x(static_cast<size_t>(size), T{});
  const int64_t chunks = (shape.rows + kCudaNormRows - 1) / kCudaNormRows;
  const DeviceArray<float> rstd(static_cast<size_t>(shape.rows), -1.0f),
      partial(static_cast<size_t>(chunks * shape.width), -1.0f);
  const RmsNormParams<T> params{
      .x = {x.data(), shape.stride}, .weight = weight.data(), .width = shape.width, .eps = 1e-6f};
  const auto work = [&] {
    EXPECT_EQ(rms_norm_forward_cuda(params, out.data(), rstd.data(), shape.rows, nullptr),
              cudaSuccess);
    EXPECT_EQ(
        rms_norm_backward_cuda(
            params, {grad.data(), rstd.data(), grad_x.data()}, partial.data(), shape.rows, nullptr),
        cudaSuccess);
  };
  if (traffic != nullptr) {
    *traffic = measure(work);
  } else {
    emulate(schedule, work);
  }
  return {out.values(), grad_x.values(), sum_of_chunks(partial.values(), shape.width)};
}

template <class T>
Pair<T> norm_on_cpu(const Shape& shape) {
  const int64_t size = shape.rows * shape.width;
  const std::vector<T> x = numbers<T>(shape.rows * shape.stride, 1), grad = numbers<T>(size, 3),
                       weight = numbers<T>(shape.width, 2);
  Pair<T> result{
      std::vector<T>(grad.size()), std::vector<T>(grad.size()), std::vector<float>(weight.size())};
  std::vector<float> rstd(static_cast<size_t>(shape.rows));
  const RmsNormParams<T> params{
      .x = {x.data(), shape.stride}, .weight = weight.data(), .width = shape.width, .eps = 1e-6f};
  rms_norm_forward_cpu(params, result.first.data(), rstd.data(), 0, shape.rows);
  rms_norm_backward_cpu(params,
                        RmsNormGradients<T>{grad.data(), rstd.data(), result.second.data()},
                        result.third.data(),
                        0,
                        shape.rows);
  return result;
}

template <class T>
void expect_norm_matches() {
  for (const Shape& shape : kShapes) {
    const auto got =
        in_every_schedule([&](Schedule schedule) { return norm_on_device<T>(shape, schedule); });
    const auto expected = norm_on_cpu<T>(shape);
    expect_near(got.first, expected.first, kTolerance<T>, "out");
    expect_near(got.second, expected.second, kTolerance<T>, "grad_x");
    expect_near(got.third, expected.third, 37 * 4e-6, "grad_weight");  // sums over 37 rows
  }
}

TEST(RmsNorm, matches_the_cpu_in_float) { expect_norm_matches<float>(); }
TEST(RmsNorm, matches_the_cpu_in_bfloat16) { expect_norm_matches<Bf16>(); }

TEST(RmsNorm, a_row_wider_than_the_registers_is_refused) {
  const DeviceArray<float> row(8193, 1.0f);
  const RmsNormParams<float> params{
      .x = {row.data(), 8193}, .weight = row.data(), .width = 8193, .eps = 0.0f};
  EXPECT_EQ(rms_norm_forward_cuda(params, row.data(), nullptr, 1, nullptr),
            cudaErrorInvalidConfiguration);
}

// Forward x, weight and out, backward grad, x, weight and grad_x, each once a row.
TEST(RmsNorm, moves_every_number_once) {
  if (!sees_accesses()) GTEST_SKIP() << "this build does not look at accesses";
  for (const Shape& shape : {Shape{32, 128, 128}, Shape{32, 2048, 2048}}) {
    Traffic traffic;
    norm_on_device<Bf16>(shape, Schedule::kAscending, &traffic);
    const double theory = 7.0 * static_cast<double>(shape.rows * shape.width) * 2;
    EXPECT_LE(static_cast<double>(traffic.bytes()), 1.2 * theory);
    EXPECT_LE(static_cast<double>(traffic.sector_bytes()), 1.2 * theory);
  }
}

}  // namespace
}  // namespace sgrpo::kernels
