// AdamW's state as named tensors.
#include <ATen/ATen.h>

#include <map>
#include <unordered_set>

#include "sgrpo/core/error.h"
#include "sgrpo/optim/optimizer.h"

namespace sgrpo::optim {
namespace {

constexpr const char* kCount = "count";

/// The saved tensor that belongs to `expected`. Throws core::UserError.
const at::Tensor& matching(const std::map<std::string, at::Tensor>& saved,
                           const std::string& name,
                           const at::Tensor& expected) {
  const auto found = saved.find(name);
  if (found == saved.end()) {
    throw core::UserError(core::str("optimizer state has no tensor '",
                                    name,
                                    "'; it was saved for other parameters (another model, "
                                    "model.lora, model.freeze or model.dtype?)"));
  }
  const at::Tensor& tensor = found->second;
  if (tensor.sizes() != expected.sizes() || tensor.scalar_type() != expected.scalar_type()) {
    throw core::UserError(core::str("optimizer state: tensor '",
                                    name,
                                    "' is ",
                                    tensor.scalar_type(),
                                    " ",
                                    tensor.sizes(),
                                    ", expected ",
                                    expected.scalar_type(),
                                    " ",
                                    expected.sizes()));
  }
  return tensor;
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> result;
  result.emplace_back(kCount, at::scalar_tensor(count_, at::kLong));
  for (const Slot& slot : slots_) {
    result.emplace_back("exp_avg." + slot.name, slot.exp_avg);
    result.emplace_back("exp_avg_sq." + slot.name, slot.exp_avg_sq);
    if (slot.master.defined()) result.emplace_back("master." + slot.name, slot.master);
  }
  return result;
}

void AdamW::load_state(const std::vector<std::pair<std::string, at::Tensor>>& state) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> saved(state.begin(), state.end());
  const std::vector<std::pair<std::string, at::Tensor>> own = this->state();
  std::unordered_set<std::string> known;
  for (const auto& [name, tensor] : own) {
    matching(saved, name, tensor);
    known.insert(name);
  }
  for (const auto& [name, tensor] : saved) {
    if (known.count(name) != 0) continue;
    throw core::UserError(core::str("optimizer state has tensor '",
                                    name,
                                    "', which belongs to no trained parameter (another model, "
                                    "model.lora, model.freeze or model.dtype?)"));
  }
  const auto count = saved.at(kCount).item<int64_t>();
  if (count < 0) throw core::UserError(core::str("optimizer state: count is ", count));
  for (const auto& [name, tensor] : own) tensor.copy_(saved.at(name));
  count_ = count;
  for (const Slot& slot : slots_) {
    if (slot.master.defined()) slot.parameter.detach().copy_(slot.master);
  }
}

}  // namespace sgrpo::optim
