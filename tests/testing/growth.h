// Whether work grows with the size of its input and no faster: by a ratio, so that the speed of the
// machine and of the build does not matter.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <string>

namespace sgrpo::testing {

/// Processor time of a run, in seconds.
inline double seconds_of(const std::function<void()>& run) {
  const std::clock_t start = std::clock();
  run();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// Runs `use` on texts of 128 KiB and of 1 MiB: eight times the text may take 24 times as long
/// (quadratic work takes 64 times as long), and what is done in a moment may take any.
inline void expect_linear(const std::string& kind,
                          const std::function<std::string(size_t)>& make_text,
                          const std::function<void(const std::string&)>& use) {
  constexpr size_t kSmall = size_t{1} << 17, kLarge = size_t{1} << 20;
  constexpr double kMoment = 0.05;
  const std::string small = make_text(kSmall), large = make_text(kLarge);
  double large_s = seconds_of([&] { use(large); });
  if (large_s < kMoment) return;
  double small_s = seconds_of([&] { use(small); });
  for (int again = 0; again < 3 && large_s >= 24 * small_s; ++again) {  // a busy machine
    large_s = std::min(large_s, seconds_of([&] { use(large); }));
    small_s = std::max(small_s, seconds_of([&] { use(small); }));
  }
  EXPECT_LT(large_s, 24 * small_s) << kind << ": " << small_s << " s, then " << large_s << " s";
}

/// `unit` again and again, up to `size` bytes.
inline std::string repeated(const std::string& unit, size_t size) {
  std::string text;
  while (text.size() + unit.size() <= size) text += unit;
  return text;
}

}  // namespace sgrpo::testing
