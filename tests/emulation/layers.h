// What the tests of the layers' kernels share.
#pragma once

#include <cstring>
#include <vector>

#include "emulation/emulated.h"

namespace sgrpo::kernels {

/// What a result may differ by: f32 sums and exponentials of other forms, numbers below 8; stored
/// in bfloat16, a difference of rounding is one of its ulp (2^-5 at 8).
template <class T>
constexpr double kTolerance = 4e-6;
template <>
constexpr double kTolerance<Bf16> = 0.04;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
struct Pair {
  std::vector<T> first, second;
  std::vector<float> third;
  bool operator==(const Pair& other) const {
    return same_bits(first, other.first) && same_bits(second, other.second) && third == other.third;
  }
};

/// Rows of `width` numbers, `stride` apart.
struct Shape {
  int64_t rows, width, stride;
};

constexpr Shape kShapes[] = {{1, 1, 1},
                             {37, 20, 24},
                             {5, 64, 64},
                             {35, 128, 128},
                             {3, 129, 130},
                             {3, 64, 66},
                             {3, 1024, 1032},
                             {18, 1032, 1032},
                             {2, 2048, 2048},
                             {2, 2049, 2049}};

}  // namespace sgrpo::kernels
