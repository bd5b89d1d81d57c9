// One thread a group: 17 bytes and about 10 flops a member, bound by launch latency.
#include "kernels/group_advantage/group_advantage_body.h"
#include "kernels/group_advantage/group_advantage_cuda.h"

namespace sgrpo::kernels {
namespace {

constexpr int kBlockThreads = 128;

__global__ void __launch_bounds__(kBlockThreads)
    group_advantage_kernel(const GroupAdvantageParams params) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (group < params.num_groups) group_advantage_body(params, group);
}

}  // namespace

cudaError_t group_advantage_cuda(const GroupAdvantageParams& params, cudaStream_t stream) {
  if (params.num_groups == 0 || params.group_size == 0) return cudaSuccess;
  const int64_t blocks = (params.num_groups + kBlockThreads - 1) / kBlockThreads;
  group_advantage_kernel<<<static_cast<unsigned>(blocks), kBlockThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace sgrpo::kernels
