// Numbers as they lie in memory, 16 bytes an access, and as floats in registers. Device code.
#pragma once

#include <cstdint>

#include "kernels/common/bf16_number.h"

namespace sgrpo::kernels {

/// How many numbers of type T the widest access takes.
template <class T>
constexpr int kWidestPack = 16 / static_cast<int>(sizeof(T));

template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T values[kCount];
};

template <class T>
__device__ T stored_as(float x) {
  return x;
}
template <>
__device__ inline Bf16 stored_as<Bf16>(float x) {
  return Bf16::nearest(x);
}

/// x <- kCount numbers from p, which is aligned to as many of them as one access takes.
template <int kCount, class T>
__device__ void load_pack(const T* p, float* x) {
  constexpr int kWidth = kCount < kWidestPack<T> ? kCount : kWidestPack<T>;
  for (int i = 0; i < kCount; i += kWidth) {
    const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(p + i);
    for (int j = 0; j < kWidth; ++j) x[i + j] = static_cast<float>(pack.values[j]);
  }
}

template <int kCount, class T>
__device__ void store_pack(T* p, const float* x) {
  constexpr int kWidth = kCount < kWidestPack<T> ? kCount : kWidestPack<T>;
  for (int i = 0; i < kCount; i += kWidth) {
    Pack<T, kWidth> pack;
    for (int j = 0; j < kWidth; ++j) pack.values[j] = stored_as<T>(x[i + j]);
    *reinterpret_cast<Pack<T, kWidth>*>(p + i) = pack;
  }
}

/// Whether memory, or none, begins where the widest access may.
template <class... Pointers>
bool starts_aligned(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace sgrpo::kernels
