// Kernels with one fault each, and one without: what the emulation must see.
#pragma once

#include <cuda_runtime_api.h>

namespace sgrpo::testing {

enum class Toy {
  kReverse,          // out[i] = in[last - i] by way of shared memory: right
  kNoBarrier,        // the same without its barrier
  kSharedUnwritten,  // reads what nobody has written
  kSharedBeyond,     // writes one element behind shared memory
  kSharedTooLarge,
  kDivergentBarrier,  // one half of the threads at another barrier
  kEarlyExit,         // one thread leaves before a barrier
  kHalfShuffle,       // every other lane shuffles with all lanes
  kForeignMask,       // a mask that leaves the caller out
  kAbsentSource,      // the source lane is no part of the mask
  kShortWarp,         // all lanes of a warp that has fewer
  kBeyond,            // writes one element behind a buffer
  kBefore,            // reads one element before it
  kMisaligned,        // 16 bytes from an address that is not aligned to them
  kNowhere,           // an address of the host
  kTwoWriters,        // all threads write one element
  kNeighbourBlocks,   // a block reads what another has written
  kBulkCopy,          // memcpy by the library, where no access is looked at
  kDeepStack,
};

extern float number_of_the_host;

/// `in` and `out` have `threads` floats.
cudaError_t launch_toy(Toy toy, const float* in, float* out, int blocks, int threads);

}  // namespace sgrpo::testing
