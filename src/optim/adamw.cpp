#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "optim/grad_norm.h"
#include "sgrpo/core/error.h"
#include "sgrpo/optim/optimizer.h"

namespace sgrpo::optim {
namespace {

/// torch.nn.utils.clip_grad_norm_'s guard against a zero norm.
constexpr double kNormEpsilon = 1.0e-6;

bool is_low_precision(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 || tensor.scalar_type() == at::kHalf;
}

void check_options(const OptimOptions& options) {
  if (options.betas.size() != 2) {
    throw core::UserError(core::str(
        "optim.betas has ", options.betas.size(), " values, expected two, such as [0.9, 0.999]"));
  }
}

void check_parameter(const std::string& name, const at::Tensor& parameter, c10::Device device) {
  TORCH_CHECK_VALUE(parameter.defined() && parameter.is_floating_point(),
                    "parameter '",
                    name,
                    "' is undefined or not of a floating-point dtype");
  TORCH_CHECK_VALUE(parameter.is_leaf() && parameter.requires_grad(),
                    "parameter '",
                    name,
                    "' is not a leaf that requires a gradient");
  TORCH_CHECK_VALUE(parameter.is_contiguous(), "parameter '", name, "' is not contiguous");
  TORCH_CHECK_VALUE(!is_low_precision(parameter) || parameter.grad_dtype() == at::kFloat,
                    "parameter '",
                    name,
                    "' is ",
                    parameter.scalar_type(),
                    " and so is its gradient: sums of many passes need f32 (set_grad_dtype)");
  TORCH_CHECK_VALUE(parameter.device() == device,
                    "parameter '",
                    name,
                    "' is on ",
                    parameter.device(),
                    ", the first one on ",
                    device);
}

}  // namespace

AdamW::AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters,
             const OptimOptions& options)
    : options_(options) {
  check_options(options);
  const at::NoGradGuard no_grad;
  const c10::Device device = parameters.empty() ? at::kCPU : parameters.front().second.device();
  std::unordered_set<std::string> names;
  for (auto& [name, parameter] : parameters) {
    check_parameter(name, parameter, device);
    TORCH_CHECK_VALUE(names.insert(name).second, "parameter '", name, "' is given twice");
    Slot slot;
    slot.name = std::move(name);
    slot.parameter = std::move(parameter);
    if (is_low_precision(slot.parameter)) slot.master = slot.parameter.detach().to(at::kFloat);
    const at::Tensor& updated = slot.master.defined() ? slot.master : slot.parameter;
    slot.exp_avg = at::zeros(updated.sizes(), updated.options().requires_grad(false));
    slot.exp_avg_sq = at::zeros_like(slot.exp_avg);
    slots_.push_back(std::move(slot));
  }
  count_tensor_ = at::zeros({}, at::TensorOptions(device).dtype(at::kFloat));
  make_groups();
}

void AdamW::make_groups() {
  std::map<std::pair<bool, at::ScalarType>, size_t> groups;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const at::Tensor& parameter = slots_[i].parameter;
    const bool decays = options_.weight_decay_on == WeightDecayOn::kAll || parameter.dim() >= 2;
    const auto [found, is_new] =
        groups.try_emplace({decays, parameter.scalar_type()}, groups_.size());
    if (is_new)
      groups_.push_back({.weight_decay = decays ? options_.weight_decay : 0.0, .slots = {}});
    groups_[found->second].slots.push_back(i);
  }
}

void AdamW::zero_grad() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> existing;
  for (Slot& slot : slots_) {
    at::Tensor& grad = slot.parameter.mutable_grad();
    if (grad.defined()) {
      existing.push_back(grad);
    } else {
      grad = at::zeros_like(slot.exp_avg);
    }
  }
  if (!existing.empty()) at::_foreach_zero_(existing);
}

std::vector<at::Tensor> AdamW::gradients() {
  std::vector<at::Tensor> grads;
  grads.reserve(slots_.size());
  for (Slot& slot : slots_) {
    at::Tensor& grad = slot.parameter.mutable_grad();
    if (!grad.defined()) grad = at::zeros_like(slot.exp_avg);
    // The fused kernel walks memory in order, and another layout would pair wrong elements.
    grads.push_back(grad.contiguous());
  }
  return grads;
}

OptimizerStep AdamW::step(double lr) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> grads = gradients();
  const GradNorm norm = global_norm(grads);
  OptimizerStep result{.grad_norm = norm.total, .skipped = false, .bad_tensor = ""};
  if (!std::isfinite(norm.total)) {
    result.skipped = true;
    if (norm.bad) result.bad_tensor = slots_[*norm.bad].name;
    return result;
  }
  double clip_factor = 1.0;
  if (options_.max_grad_norm > 0) {
    clip_factor = std::min(1.0, options_.max_grad_norm / (norm.total + kNormEpsilon));
  }
  ++count_;
  count_tensor_.fill_(static_cast<double>(count_));
  for (const Group& group : groups_) update(group, grads, lr, clip_factor);
  return result;
}

void AdamW::update(const Group& group,
                   const std::vector<at::Tensor>& grads,
                   double lr,
                   double clip_factor) {
  std::vector<at::Tensor> targets, group_grads, exp_avgs, exp_avg_sqs, parameters;
  for (const size_t i : group.slots) {
    const Slot& slot = slots_[i];
    const bool has_master = slot.master.defined();
    targets.push_back(has_master ? slot.master : slot.parameter);
    group_grads.push_back(grads[i]);
    exp_avgs.push_back(slot.exp_avg);
    exp_avg_sqs.push_back(slot.exp_avg_sq);
    if (has_master) parameters.push_back(slot.parameter);
  }
  if (clip_factor < 1.0) at::_foreach_mul_(group_grads, clip_factor);
  const std::vector<at::Tensor> counts(targets.size(), count_tensor_);
  at::_fused_adamw_(targets,
                    group_grads,
                    exp_avgs,
                    exp_avg_sqs,
                    /*max_exp_avg_sqs=*/{},
                    counts,
                    lr,
                    options_.betas[0],
                    options_.betas[1],
                    group.weight_decay,
                    options_.eps,
                    /*amsgrad=*/false,
                    /*maximize=*/false);
  if (!parameters.empty()) at::_foreach_copy_(parameters, targets);
}

}  // namespace sgrpo::optim
