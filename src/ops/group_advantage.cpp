#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "kernels/group_advantage/group_advantage.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

kernels::GroupStd std_code(const std::string& std) {
  if (std == "none") return kernels::GroupStd::kNone;
  if (std == "sample") return kernels::GroupStd::kSample;
  TORCH_CHECK_VALUE(std == "population",
                    "group_advantage: std is '",
                    std,
                    "', expected sample, population or none (algorithm.std)");
  return kernels::GroupStd::kPopulation;
}

}  // namespace

at::Tensor group_advantage(const at::Tensor& rewards,
                           const at::Tensor& valid,
                           const std::string& std,
                           double eps) {
  static const auto handle =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("sgrpo::group_advantage", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t, double)>();
  return handle.call(rewards, valid, static_cast<int64_t>(std_code(std)), eps);
}

}  // namespace sgrpo::ops
