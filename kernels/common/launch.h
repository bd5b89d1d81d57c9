// The one way to launch a kernel, on CUDA and under the host's emulation alike.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace sgrpo::kernels {

/// Memory of a block, here and not elsewhere because the emulation watches it. No initial value.
#ifndef SGRPO_SHARED
#define SGRPO_SHARED(type, name, count) __shared__ type name[count]
#endif

/// blockIdx.x and blockIdx.y count up to these.
struct Blocks {
  int64_t x, y = 1;

  Blocks(int64_t width) : x(width) {}  // NOLINT: most grids have one dimension
  Blocks(int64_t width, int64_t height) : x(width), y(height) {}
};

/// Launches `blocks` x `threads` on `stream`; nothing to do is a success.
template <class... Parameters>
cudaError_t launch(void (*kernel)(Parameters...),
                   const Blocks& blocks,
                   int threads,
                   cudaStream_t stream,
                   const std::type_identity_t<Parameters>&... arguments) {
  if (blocks.x == 0 || blocks.y == 0) return cudaSuccess;
  if (blocks.x > std::numeric_limits<int32_t>::max() || blocks.y > 65535)
    return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

/// How many blocks of `per_block` items each.
inline int64_t blocks_of(int64_t items, int64_t per_block) {
  return (items + per_block - 1) / per_block;
}

}  // namespace sgrpo::kernels
