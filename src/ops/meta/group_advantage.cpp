#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/group_advantage_tensors.h"

namespace sgrpo::ops {
namespace {

GroupAdvantageResult group_advantage_meta(const GroupAdvantageArguments& arguments) {
  return empty_group_advantage(arguments.rewards);
}

TORCH_LIBRARY_IMPL(sgrpo, Meta, library) {
  library.impl("group_advantage", packed_group_advantage<group_advantage_meta>);
}

}  // namespace
}  // namespace sgrpo::ops
