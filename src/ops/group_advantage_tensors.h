// What every backend of group_advantage does at its door: checks, outputs, parameters.
#pragma once

#include <optional>
#include <tuple>

#include <ATen/ATen.h>

#include "kernels/group_advantage/group_advantage.h"

namespace sgrpo::ops {

/// The op's arguments in the order of its schema.
struct GroupAdvantageArguments {
  const at::Tensor& rewards;
  const at::Tensor& status;
  const std::optional<at::Tensor>& victim_score;
  const std::optional<at::Tensor>& may_inject;
  const std::optional<at::Tensor>& gt_reward;
  int64_t when;
  double min_spread;
  int64_t mode;
  double fail_weight;
  bool smoothing;
  int64_t std;
  double eps;
};

using GroupAdvantageResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

inline void check_group_tensor(const char* name,
                               const at::Tensor& tensor,
                               at::ScalarType type,
                               at::IntArrayRef shape,
                               const at::Tensor& rewards) {
  TORCH_CHECK_VALUE(tensor.sizes() == shape,
                    "group_advantage: ",
                    name,
                    " has shape ",
                    tensor.sizes(),
                    ", expected ",
                    shape,
                    " as rewards are ",
                    rewards.sizes());
  TORCH_CHECK_TYPE(tensor.scalar_type() == type,
                   "group_advantage: ",
                   name,
                   " is ",
                   tensor.scalar_type(),
                   ", expected ",
                   type);
  TORCH_CHECK_VALUE(tensor.is_contiguous(), "group_advantage: ", name, " must be contiguous");
  TORCH_CHECK_VALUE(tensor.device() == rewards.device(),
                    "group_advantage: ",
                    name,
                    " is on ",
                    tensor.device(),
                    ", rewards on ",
                    rewards.device());
}

/// Throws c10::ValueError or c10::TypeError naming the argument that breaks the op's schema.
inline void check_group_advantage(const GroupAdvantageArguments& a) {
  TORCH_CHECK_VALUE(a.rewards.dim() == 2,
                    "group_advantage: rewards has shape ",
                    a.rewards.sizes(),
                    ", expected [P, G]");
  const int64_t groups = a.rewards.size(0);
  check_group_tensor("rewards", a.rewards, at::kDouble, a.rewards.sizes(), a.rewards);
  check_group_tensor("status", a.status, at::kByte, a.rewards.sizes(), a.rewards);
  TORCH_CHECK_VALUE(a.std >= 0 && a.std <= 2,
                    "group_advantage: std is ",
                    a.std,
                    ", expected 0 (none), 1 (sample) or 2 (population)");
  TORCH_CHECK_VALUE(a.when >= 0 && a.when <= 2,
                    "group_advantage: when is ",
                    a.when,
                    ", expected 0 (never), 1 (all_fail) or 2 (where allowed)");
  if (a.when == 0) return;
  TORCH_CHECK_VALUE(a.victim_score && a.may_inject && a.gt_reward,
                    "group_advantage: victim_score, may_inject and gt_reward are needed to inject");
  check_group_tensor("victim_score", *a.victim_score, at::kDouble, a.rewards.sizes(), a.rewards);
  check_group_tensor("may_inject", *a.may_inject, at::kBool, {groups}, a.rewards);
  check_group_tensor("gt_reward", *a.gt_reward, at::kDouble, {groups}, a.rewards);
  TORCH_CHECK_VALUE(a.mode == 0 || a.mode == 1,
                    "group_advantage: mode is ",
                    a.mode,
                    ", expected 0 (replace) or 1 (append)");
  TORCH_CHECK_VALUE(a.rewards.size(1) > 0 || groups == 0, "group_advantage: groups have no member");
}

inline GroupAdvantageResult empty_group_advantage(const at::Tensor& rewards) {
  const int64_t groups = rewards.size(0);
  return {at::empty({groups, rewards.size(1) + 1}, rewards.options()),
          at::empty({groups}, rewards.options().dtype(at::kInt)),
          at::empty({groups}, rewards.options().dtype(at::kByte))};
}

inline kernels::GroupAdvantageParams group_advantage_params(const GroupAdvantageArguments& a,
                                                            const GroupAdvantageResult& result) {
  const auto& [advantages, victim, kind] = result;
  kernels::GroupAdvantageParams params{.rewards = a.rewards.const_data_ptr<double>(),
                                       .status = a.status.const_data_ptr<uint8_t>(),
                                       .advantages = advantages.mutable_data_ptr<double>(),
                                       .victim = victim.mutable_data_ptr<int32_t>(),
                                       .kind = kind.mutable_data_ptr<uint8_t>(),
                                       .num_groups = a.rewards.size(0),
                                       .group_size = a.rewards.size(1),
                                       .when = static_cast<kernels::GroupTrigger>(a.when),
                                       .min_spread = a.min_spread,
                                       .mode = static_cast<kernels::GroupMode>(a.mode),
                                       .fail_weight = a.fail_weight,
                                       .smoothing = a.smoothing,
                                       .std = static_cast<kernels::GroupStd>(a.std),
                                       .eps = a.eps};
  if (params.when == kernels::GroupTrigger::kNever) return params;
  params.victim_score = a.victim_score->const_data_ptr<double>();
  params.may_inject = a.may_inject->const_data_ptr<bool>();
  params.gt_reward = a.gt_reward->const_data_ptr<double>();
  return params;
}

/// Registers run(arguments), which has the schema's many arguments packed, as a backend's body.
template <auto kRun>
GroupAdvantageResult packed_group_advantage(const at::Tensor& rewards,
                                            const at::Tensor& status,
                                            const std::optional<at::Tensor>& victim_score,
                                            const std::optional<at::Tensor>& may_inject,
                                            const std::optional<at::Tensor>& gt_reward,
                                            int64_t when,
                                            double min_spread,
                                            int64_t mode,
                                            double fail_weight,
                                            bool smoothing,
                                            int64_t std,
                                            double eps) {
  const GroupAdvantageArguments arguments{rewards,
                                          status,
                                          victim_score,
                                          may_inject,
                                          gt_reward,
                                          when,
                                          min_spread,
                                          mode,
                                          fail_weight,
                                          smoothing,
                                          std,
                                          eps};
  check_group_advantage(arguments);
  return kRun(arguments);
}

}  // namespace sgrpo::ops
