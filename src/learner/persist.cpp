#include <ATen/ATen.h>

#include <map>

#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"
#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {

std::vector<std::pair<std::string, at::Tensor>> Learner::state() const {
  SGRPO_CHECK(!is_pending_, "a learner with a pending gradient is never saved");
  auto state = optimizer_.state();
  for (const ParameterSegment& segment : policy_->arena().segments) {
    if (!segment.is_rounded_on_disk) continue;
    const at::Tensor value = segment.weight.detach();
    state.emplace_back(checkpoint::kWidePrefix + segment.name, value);
    for (const std::string& copy : segment.copies)
      state.emplace_back(checkpoint::kWidePrefix + copy, value);
  }
  return state;
}

void Learner::load_state(const std::filesystem::path& model,
                         const std::vector<std::pair<std::string, at::Tensor>>& state,
                         const std::string& run) {
  std::vector<std::pair<std::string, at::Tensor>> moments;
  std::map<std::string, at::Tensor> wide;
  for (const auto& [name, tensor] : state) {
    if (core::starts_with(name, checkpoint::kWidePrefix)) {
      wide[name.substr(std::string_view(checkpoint::kWidePrefix).size())] = tensor;
    } else {
      moments.emplace_back(name, tensor);
    }
  }
  policy_->load_weights(model, wide, run);
  optimizer_.load_state(moments);
}

}  // namespace sgrpo::learner
