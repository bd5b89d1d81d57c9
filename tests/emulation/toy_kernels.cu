#include "emulation/toy_kernels.h"

#include <cstring>

#include "kernels/common/launch.h"
#include "kernels/common/pack.h"

namespace sgrpo::testing {

float number_of_the_host = 0.0f;

namespace {

using kernels::load_pack;

__device__ void reverse(const float* in, float* out, bool waits) {
  SGRPO_SHARED(float, values, 64);
  const unsigned i = threadIdx.x;
  values[i] = in[i];
  if (waits) __syncthreads();
  out[i] = values[blockDim.x - 1 - i];
}

__device__ void misuse_shared(Toy toy, float* out) {
  SGRPO_SHARED(float, values, 64);
  const unsigned i = threadIdx.x;
  if (toy == Toy::kSharedUnwritten) out[i] = values[i];
  if (toy == Toy::kSharedBeyond) values[i + 1] = 1.0f;
  if (toy == Toy::kSharedTooLarge) {
    SGRPO_SHARED(double, many, 6144);
    many[i] = 1.0;
  }
}

__device__ void misuse_barriers(Toy toy) {
  if (toy == Toy::kDivergentBarrier) {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  }
  if (toy == Toy::kEarlyExit && threadIdx.x != 40) __syncthreads();
}

__device__ void misuse_shuffles(Toy toy, float* out) {
  const unsigned i = threadIdx.x;
  if (toy == Toy::kHalfShuffle && i % 2 == 0) out[i] = __shfl_xor_sync(0xffffffffu, 1.0f, 2);
  if (toy == Toy::kForeignMask) out[i] = __shfl_xor_sync(0x0000ffffu, 1.0f, 1);
  if (toy == Toy::kAbsentSource && i < 16) out[i] = __shfl_xor_sync(0x0000ffffu, 1.0f, 16);
  if (toy == Toy::kShortWarp) out[i] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

__device__ void misuse_memory(Toy toy, const float* in, float* out) {
  const unsigned i = threadIdx.x;
  if (toy == Toy::kBeyond) out[i + 1] = 1.0f;
  if (toy == Toy::kBefore) out[i] = *(in + i - 1);
  if (toy == Toy::kMisaligned) {
    float four[4];
    load_pack<4>(in + 1, four);
    out[i] = four[0];
  }
  if (toy == Toy::kNowhere) out[i] = number_of_the_host;
  if (toy == Toy::kTwoWriters) out[0] = static_cast<float>(i);
  if (toy == Toy::kNeighbourBlocks && i == 0) out[blockIdx.x] = out[blockIdx.x ^ 1u];
  if (toy == Toy::kBulkCopy) std::memcpy(out, in, 4 * blockDim.x + 65536 * gridDim.x);
}

/// Fills a frame a call, so that no compiler makes a loop of it.
__device__ int descend(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : descend(depth - 1) + frame[0];
}

__global__ void toy_kernel(Toy toy, const float* in, float* out) {
  if (toy == Toy::kReverse || toy == Toy::kNoBarrier) reverse(in, out, toy == Toy::kReverse);
  misuse_shared(toy, out);
  misuse_barriers(toy);
  misuse_shuffles(toy, out);
  misuse_memory(toy, in, out);
  if (toy == Toy::kDeepStack) out[threadIdx.x] = static_cast<float>(descend(1000));
}

}  // namespace

cudaError_t launch_toy(Toy toy, const float* in, float* out, int blocks, int threads) {
  return kernels::launch(toy_kernel, blocks, threads, nullptr, toy, in, out);
}

}  // namespace sgrpo::testing
