#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/group_advantage_checks.h"

namespace sgrpo::ops {
namespace {

at::Tensor group_advantage_meta(const at::Tensor& rewards,
                                const at::Tensor& valid,
                                int64_t std,
                                double /*eps*/,
                                double /*min_spread*/) {
  check_group_advantage(rewards, valid, std);
  return at::empty_like(rewards);
}

TORCH_LIBRARY_IMPL(sgrpo, Meta, library) { library.impl("group_advantage", group_advantage_meta); }

}  // namespace
}  // namespace sgrpo::ops
