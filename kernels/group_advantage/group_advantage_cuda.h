// CUDA launch of group_advantage; apart from the CPU header because it needs CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/group_advantage/group_advantage.h"

namespace sgrpo::kernels {

/// Launches on `stream`; pointers are device memory. Async: valid after the stream reaches it.
cudaError_t group_advantage_cuda(const GroupAdvantageParams& params, cudaStream_t stream);

}  // namespace sgrpo::kernels
