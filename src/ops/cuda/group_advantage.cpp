#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/group_advantage/group_advantage_cuda.h"
#include "ops/group_advantage_checks.h"

namespace sgrpo::ops {
namespace {

at::Tensor group_advantage_cuda(const at::Tensor& rewards,
                                const at::Tensor& valid,
                                int64_t std,
                                double eps,
                                double min_spread) {
  check_group_advantage(rewards, valid, std);
  const c10::cuda::CUDAGuard guard(rewards.device());
  at::Tensor advantages = at::empty_like(rewards);
  C10_CUDA_CHECK(kernels::group_advantage_cuda({.rewards = rewards.const_data_ptr<double>(),
                                                .valid = valid.const_data_ptr<bool>(),
                                                .advantages = advantages.mutable_data_ptr<double>(),
                                                .num_groups = rewards.size(0),
                                                .group_size = rewards.size(1),
                                                .std = static_cast<kernels::GroupStd>(std),
                                                .eps = eps,
                                                .min_spread = min_spread},
                                               c10::cuda::getCurrentCUDAStream()));
  return advantages;
}

TORCH_LIBRARY_IMPL(sgrpo, CUDA, library) { library.impl("group_advantage", group_advantage_cuda); }

}  // namespace
}  // namespace sgrpo::ops
