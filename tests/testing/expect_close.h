// Comparison of tensors that says how far off they are, and error bounds that follow from the
// arithmetic instead of from what happens to pass.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <source_location>
#include <string>

namespace sgrpo::testing {

/// Unit roundoff of a floating-point type: half the distance from 1 to the next number.
inline double unit_roundoff(at::ScalarType dtype) {
  if (dtype == at::kDouble) return 0x1p-53;
  if (dtype == at::kBFloat16) return 0x1p-9;
  return 0x1p-24;
}

/// Absolute error to allow for a sum of `reduction_length` products whose absolute values add up to
/// at most `norm`: 4 (sqrt(n) + 2) u norm.
/// Source:  Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019:
///          lambda sqrt(n) u |x|^T|y| holds with probability above 1 - 2n exp(-lambda^2 / 2); the
///          two extra roundings are those of the operands, lambda = 4.
inline double tolerance_for(at::ScalarType dtype, int64_t reduction_length, double norm) {
  return 4.0 * (std::sqrt(static_cast<double>(reduction_length)) + 2.0) * unit_roundoff(dtype) *
         norm;
}

/// |a - b| in units of the last place of `b` in `dtype`.
inline double ulps_between(double a, double b, at::ScalarType dtype) {
  const double magnitude = std::max(std::abs(b), std::numeric_limits<double>::min());
  return std::abs(a - b) /
         (2.0 * unit_roundoff(dtype) * std::exp2(std::floor(std::log2(magnitude))));
}

/// "[2, 0, 5]" of a flat index.
inline std::string index_text(int64_t flat, at::IntArrayRef sizes) {
  std::string text;
  for (size_t d = sizes.size(); d-- > 0; flat /= sizes[d]) {
    text = std::to_string(flat % sizes[d]) + (text.empty() ? "" : ", ") + text;
  }
  return "[" + text + "]";
}

/// Fails unless |got - expected| <= tolerance everywhere; equal infinities agree, NaN never does.
/// The failure tells how many elements differ, the worst one with its index, values and ulps, and
/// the norms.
inline void expect_close(const at::Tensor& got,
                         const at::Tensor& expected,
                         double tolerance,
                         const std::string& what = "",
                         std::source_location place = std::source_location::current()) {
  const auto fail = [&]() {
    return ::testing::internal::AssertHelper(::testing::TestPartResult::kNonFatalFailure,
                                             place.file_name(),
                                             static_cast<int>(place.line()),
                                             what.c_str());
  };
  if (got.sizes() != expected.sizes()) {
    fail() = ::testing::Message() << "\n  shape " << got.sizes() << ", expected "
                                  << expected.sizes();
    return;
  }
  const at::Tensor a = got.detach().to(at::kCPU, at::kDouble).flatten().contiguous();
  const at::Tensor b = expected.detach().to(at::kCPU, at::kDouble).flatten().contiguous();
  const double *x = a.const_data_ptr<double>(), *y = b.const_data_ptr<double>();
  int64_t count = 0, worst = -1;
  double largest = -1.0, difference_squares = 0.0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    if (x[i] == y[i]) continue;
    const double gap = std::abs(x[i] - y[i]);
    const double distance = std::isnan(gap) ? std::numeric_limits<double>::infinity() : gap;
    difference_squares += distance * distance;
    if (!(distance <= tolerance)) ++count;
    if (distance > largest) largest = distance, worst = i;
  }
  if (count == 0) return;
  fail() = ::testing::Message() << "\n  " << count << " of " << a.numel()
                                << " elements differ by more than " << tolerance << "\n  worst at "
                                << index_text(worst, got.sizes()) << ": got " << x[worst]
                                << ", expected " << y[worst] << ", difference " << largest << " ("
                                << ulps_between(x[worst], y[worst], got.scalar_type())
                                << " ulps)\n  norms: got " << a.norm().item<double>()
                                << ", expected " << b.norm().item<double>() << ", difference "
                                << std::sqrt(difference_squares);
}

/// As above with a tolerance relative to the norm of `expected`: |got - expected|_2 is compared.
inline void expect_close_in_norm(const at::Tensor& got,
                                 const at::Tensor& expected,
                                 double relative,
                                 const std::string& what = "",
                                 std::source_location place = std::source_location::current()) {
  const at::Tensor a = got.detach().to(at::kCPU, at::kDouble);
  const at::Tensor b = expected.detach().to(at::kCPU, at::kDouble);
  const double norm = b.norm().item<double>();
  if (a.sizes() == b.sizes() && (a - b).norm().item<double>() <= relative * norm) return;
  expect_close(
      got, expected, relative * norm / std::sqrt(static_cast<double>(b.numel()) + 1), what, place);
}

/// Fails unless every bit agrees.
inline void expect_bitwise_equal(const at::Tensor& got,
                                 const at::Tensor& expected,
                                 const std::string& what = "",
                                 std::source_location place = std::source_location::current()) {
  expect_close(got, expected, 0.0, what, place);
}

}  // namespace sgrpo::testing
