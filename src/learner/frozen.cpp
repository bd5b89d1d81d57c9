// Policies beside the one that learns: how they follow it, and what a checkpoint keeps of them.
#include <ATen/ATen.h>

#include "sgrpo/core/text.h"
#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {

const policy::Policy* Learner::reference() const {
  return referred_.empty() ? reference_.get() : frozen_.at(referred_).policy.get();
}

void Learner::add_frozen(const std::string& name, FrozenPolicy frozen) {
  if (frozen.decay) {
    for (const auto& [weight, tensor] : frozen.policy->followers_of(*policy_)) {
      if (tensor.scalar_type() == at::kFloat) continue;
      throw core::UserError(core::str("frozen.",
                                      name,
                                      ".decay is ",
                                      *frozen.decay,
                                      ", but weight ",
                                      weight,
                                      " is kept as ",
                                      c10::toString(tensor.scalar_type()),
                                      ", in which a slow average would not move: expected "
                                      "model.dtype: float32, or decay: null"));
    }
  }
  frozen_[name] = std::move(frozen);
}

void Learner::end_step(int64_t step) {
  is_mid_step_ = false;
  for (auto& [name, frozen] : frozen_) {
    if (frozen.decay && step % frozen.every == 0)
      frozen.policy->move_toward(*policy_, *frozen.decay);
  }
}

std::map<std::string, NamedTensors> Learner::frozen_state() const {
  std::map<std::string, NamedTensors> state;
  for (const auto& [name, frozen] : frozen_)
    if (frozen.decay) state[name] = frozen.policy->followers_of(*policy_);
  return state;
}

void Learner::load_frozen(const std::string& name,
                          const NamedTensors& state,
                          const std::string& where) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> saved(state.begin(), state.end());
  for (const auto& [weight, tensor] : frozen_.at(name).policy->followers_of(*policy_)) {
    const auto found = saved.find(weight);
    if (found == saved.end() || found->second.sizes() != tensor.sizes()) {
      throw core::UserError(core::str(where,
                                      found == saved.end() ? " has no tensor '" : " has tensor '",
                                      weight,
                                      found == saved.end() ? "'" : "' of another shape",
                                      ": the frozen policy ",
                                      name,
                                      " of this run is another model; choose another output_dir"));
    }
    at::Tensor target = tensor;
    target.copy_(found->second);
  }
}

}  // namespace sgrpo::learner
