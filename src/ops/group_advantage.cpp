#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "kernels/group_advantage/group_advantage.h"
#include "kernels/group_advantage/spread.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

/// The number that stands for it in the schema.
kernels::GroupStd std_code(Deviation std) {
  switch (std) {
    case Deviation::kSample: return kernels::GroupStd::kSample;
    case Deviation::kPopulation: return kernels::GroupStd::kPopulation;
    case Deviation::kNone: break;
  }
  return kernels::GroupStd::kNone;
}

}  // namespace

at::Tensor group_advantage(const at::Tensor& rewards,
                           const at::Tensor& valid,
                           Deviation std,
                           double eps,
                           double min_spread) {
  static const auto handle =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("sgrpo::group_advantage", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, int64_t, double, double)>();
  return handle.call(rewards, valid, static_cast<int64_t>(std_code(std)), eps, min_spread);
}

bool has_spread(double lowest, double highest, double min_spread) {
  return kernels::has_spread(lowest, highest, min_spread);
}

}  // namespace sgrpo::ops
