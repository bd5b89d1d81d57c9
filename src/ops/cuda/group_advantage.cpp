#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/group_advantage/group_advantage_cuda.h"
#include "ops/group_advantage_tensors.h"

namespace sgrpo::ops {
namespace {

GroupAdvantageResult group_advantage_cuda(const GroupAdvantageArguments& arguments) {
  const c10::cuda::CUDAGuard guard(arguments.rewards.device());
  GroupAdvantageResult result = empty_group_advantage(arguments.rewards);
  C10_CUDA_CHECK(kernels::group_advantage_cuda(group_advantage_params(arguments, result),
                                               c10::cuda::getCurrentCUDAStream()));
  return result;
}

TORCH_LIBRARY_IMPL(sgrpo, CUDA, library) {
  library.impl("group_advantage", packed_group_advantage<group_advantage_cuda>);
}

}  // namespace
}  // namespace sgrpo::ops
