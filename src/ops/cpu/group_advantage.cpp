#include <ATen/ATen.h>
#include <torch/library.h>

#include "kernels/group_advantage/group_advantage.h"
#include "ops/group_advantage_checks.h"

namespace sgrpo::ops {
namespace {

at::Tensor group_advantage_cpu(const at::Tensor& rewards,
                               const at::Tensor& valid,
                               int64_t std,
                               double eps,
                               double min_spread) {
  check_group_advantage(rewards, valid, std);
  at::Tensor advantages = at::empty_like(rewards);
  kernels::group_advantage_cpu({.rewards = rewards.const_data_ptr<double>(),
                                .valid = valid.const_data_ptr<bool>(),
                                .advantages = advantages.mutable_data_ptr<double>(),
                                .num_groups = rewards.size(0),
                                .group_size = rewards.size(1),
                                .std = static_cast<kernels::GroupStd>(std),
                                .eps = eps,
                                .min_spread = min_spread});
  return advantages;
}

TORCH_LIBRARY_IMPL(sgrpo, CPU, library) { library.impl("group_advantage", group_advantage_cpu); }

}  // namespace
}  // namespace sgrpo::ops
