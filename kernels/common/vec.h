// Sixteen floats at a time with GCC's vector extension: one source for AVX-512, AVX2 and plain SSE.
// Functions that use it are marked SGRPO_MULTIVERSION; everything here must inline into them.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && defined(__x86_64__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__CUDACC__)
// The loader picks a clone by instruction set: names of processors ("skylake-avx512") would match
// that processor alone, not its successors. Not under ASan: its runtime is not yet
// up when the loader resolves clones.
#define SGRPO_MULTIVERSION \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SGRPO_MULTIVERSION
#endif
#define SGRPO_INLINE inline __attribute__((always_inline))

namespace sgrpo::kernels {

constexpr int64_t kLanes = 16;
using Vec = float __attribute__((vector_size(64)));
using IntVec = int32_t __attribute__((vector_size(64)));

SGRPO_INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
SGRPO_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }
SGRPO_INLINE Vec splat(float x) { return Vec{} + x; }

SGRPO_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }

SGRPO_INLINE float sum(Vec v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof(v));
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
SGRPO_INLINE float max_lane(Vec v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof(v));
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  }
  return lanes[0];
}

/// Rows become columns: four perfect shuffles of the rows are a transposition of 16 x 16.
SGRPO_INLINE void transpose(Vec (&rows)[kLanes]) {
  constexpr int64_t kHalf = kLanes / 2;
#pragma GCC unroll 4
  for (int64_t round = 0; round < 4; ++round) {
    Vec next[kLanes];
#pragma GCC unroll 8
    for (int64_t i = 0; i < kHalf; ++i) {
      const Vec a = rows[i], b = rows[i + kHalf];
      next[2 * i] =
          __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(
          a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int64_t i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

/// exp for x <= 0 and moderate x > 0 (|x| < 87); below -87.3 the result is 0. Error below 2 ulp:
/// Cody-Waite reduction by ln 2 in two parts, then the degree-6 minimax polynomial of Cephes' expf.
SGRPO_INLINE Vec exp(Vec x) {
  const Vec low = splat(-87.3365f);
  const auto is_tiny = x < low;
  x = is_tiny ? low : x;
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const Vec shifted = x * 1.44269504088896341f + magic;
  const Vec n = shifted - magic;
  Vec r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  IntVec bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  // The low mantissa bits of `shifted` hold n; moved to the exponent field they multiply by 2^n.
  const IntVec exponent = (bits + 127) << 23;
  Vec scale;
  std::memcpy(&scale, &exponent, sizeof(scale));
  return is_tiny ? Vec{} : p * scale;
}

}  // namespace sgrpo::kernels
