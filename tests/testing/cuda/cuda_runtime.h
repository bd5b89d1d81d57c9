// Stand-in for CUDA's header of this name: device code as plain C++. As nvcc does with the real
// one, the build includes it ahead of every .cu file.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#define __CUDACC__ 1
#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

// Every thread of a block gets the same memory for one declaration.
#define SGRPO_SHARED(type, name, count) \
  static char name##_site;              \
  type* const name = static_cast<type*>(emulated_shared(&name##_site, sizeof(type), count))

struct uint3 {
  unsigned x, y, z;
};
struct EmulatedIndices {
  uint3 thread, block;
  dim3 threads, blocks;
};
extern EmulatedIndices emulated_indices;
inline constexpr const uint3& threadIdx = emulated_indices.thread;
inline constexpr const uint3& blockIdx = emulated_indices.block;
inline constexpr const dim3& blockDim = emulated_indices.threads;
inline constexpr const dim3& gridDim = emulated_indices.blocks;

void* emulated_shared(const void* site, size_t element, size_t count);
/// What `lane ^ distance` gave; all lanes of `mask` call together.
uint64_t emulated_shuffle_xor(unsigned mask, uint64_t value, int distance);
void emulated_block_barrier(const char* file, int line);
cudaError_t emulated_launch(const cudaLaunchConfig_t& config,
                            void (*run)(const void* call),
                            const void* call,
                            size_t call_bytes);

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_block_barrier(file, line);
}

/// The device's may be off by two units in the last place.
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  bits = emulated_shuffle_xor(mask, bits, distance);
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const Call call{kernel, {static_cast<Parameters>(arguments)...}};
  const auto run = [](const void* p) {
    const Call& own = *static_cast<const Call*>(p);
    std::apply(own.kernel, own.parameters);
  };
  return emulated_launch(*config, run, &call, sizeof(call));
}
