// bfloat16 in memory, float in registers: loads widen, stores round to the nearest, ties to even.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/bf16_number.h"
#include "kernels/common/vec.h"

namespace sgrpo::kernels {

using BitsVec = uint32_t __attribute__((vector_size(64)));
using HalfVec = uint16_t __attribute__((vector_size(32)));

/// What a store keeps, as floats; NaN stays NaN.
SGRPO_INLINE BitsVec rounded_bits(Vec v) {
  BitsVec bits;
  std::memcpy(&bits, &v, sizeof(bits));
  const BitsVec nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
  return (v == v ? nearest : BitsVec{} + 0x7FC00000u) >> 16;
}

SGRPO_INLINE Vec load(const Bf16* p) {
  HalfVec half;
  std::memcpy(&half, p, sizeof(half));
  const BitsVec bits = __builtin_convertvector(half, BitsVec) << 16;
  Vec v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}
SGRPO_INLINE void store(Bf16* p, Vec v) {
  const HalfVec half = __builtin_convertvector(rounded_bits(v), HalfVec);
  std::memcpy(p, &half, sizeof(half));
}

/// One number each way; for float nothing happens.
SGRPO_INLINE float get(const float* p) { return *p; }
SGRPO_INLINE void put(float* p, float x) { *p = x; }
SGRPO_INLINE float get(const Bf16* p) { return static_cast<float>(*p); }
SGRPO_INLINE void put(Bf16* p, float x) { *p = Bf16::nearest(x); }

/// A value as storage of type T would give it back.
template <class T>
SGRPO_INLINE Vec rounded(Vec v);
template <>
SGRPO_INLINE Vec rounded<float>(Vec v) {
  return v;
}
template <>
SGRPO_INLINE Vec rounded<Bf16>(Vec v) {
  const BitsVec bits = rounded_bits(v) << 16;
  Vec result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}
template <class T>
SGRPO_INLINE float rounded(float x) {
  T stored;
  put(&stored, x);
  return get(&stored);
}

}  // namespace sgrpo::kernels
