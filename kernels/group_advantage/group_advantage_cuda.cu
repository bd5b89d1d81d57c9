// One thread a group: 17 bytes and about 10 flops a member, bound by launch latency.
#include "kernels/common/launch.h"
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
  const int64_t blocks = blocks_of(params.num_groups, kBlockThreads);
  return launch(group_advantage_kernel, blocks, kBlockThreads, stream, params);
}

}  // namespace sgrpo::kernels
