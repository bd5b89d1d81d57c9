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

GroupAdvantages group_advantage(const at::Tensor& rewards,
                                const at::Tensor& status,
                                const GroupFormula& formula,
                                const std::optional<GroupInjection>& injection) {
  using Optional = std::optional<at::Tensor>;
  static const auto handle =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("sgrpo::group_advantage", "")
          .typed<std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&,
                                                                const at::Tensor&,
                                                                const Optional&,
                                                                const Optional&,
                                                                const Optional&,
                                                                int64_t,
                                                                double,
                                                                int64_t,
                                                                double,
                                                                bool,
                                                                int64_t,
                                                                double)>();
  const GroupInjection rule = injection.value_or(GroupInjection{});
  const auto when = !injection           ? kernels::GroupTrigger::kNever
                    : rule.only_all_fail ? kernels::GroupTrigger::kAllFail
                                         : kernels::GroupTrigger::kWhereAllowed;
  const auto given = [&](const at::Tensor& tensor) {
    return injection ? Optional(tensor) : std::nullopt;
  };
  auto [advantages, victim, kind] = handle.call(rewards,
                                                status,
                                                given(rule.victim_score),
                                                given(rule.may_inject),
                                                given(rule.gt_reward),
                                                static_cast<int64_t>(when),
                                                formula.min_spread,
                                                rule.appends ? 1 : 0,
                                                rule.fail_weight,
                                                rule.smoothing,
                                                static_cast<int64_t>(std_code(formula.std)),
                                                formula.eps);
  return {.advantages = advantages, .victim = victim, .kind = kind};
}

bool has_spread(double lowest, double highest, double min_spread) {
  return kernels::has_spread(lowest, highest, min_spread);
}

}  // namespace sgrpo::ops
