#include "kernels/group_advantage/group_advantage.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/group_advantage_tensors.h"

namespace sgrpo::ops {
namespace {

GroupAdvantageResult group_advantage_cpu(const GroupAdvantageArguments& arguments) {
  GroupAdvantageResult result = empty_group_advantage(arguments.rewards);
  kernels::group_advantage_cpu(group_advantage_params(arguments, result));
  return result;
}

TORCH_LIBRARY_IMPL(sgrpo, CPU, library) {
  library.impl("group_advantage", packed_group_advantage<group_advantage_cpu>);
}

}  // namespace
}  // namespace sgrpo::ops
