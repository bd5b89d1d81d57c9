#include <ATen/ATen.h>

#include <map>

#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"
#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {
namespace {

constexpr const char* kCoefficients = "coefficients";

/// Every bit of them: [3] f64.
at::Tensor to_tensor(const algorithm::Coefficients& values) {
  return at::tensor({values.kl, values.entropy, values.last_entropy}, at::kDouble);
}

algorithm::Coefficients to_coefficients(const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kDouble || tensor.numel() != 3) {
    throw core::UserError(core::str("optimizer state: coefficients has ",
                                    tensor.numel(),
                                    " numbers of type ",
                                    c10::toString(tensor.scalar_type()),
                                    ", expected 3 of type Double"));
  }
  const auto* values = tensor.const_data_ptr<double>();
  return {.kl = values[0], .entropy = values[1], .last_entropy = values[2]};
}

}  // namespace

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
  if (coefficients_) state.emplace_back(kCoefficients, to_tensor(*coefficients_));
  return state;
}

void Learner::load_state(const std::filesystem::path& model,
                         const std::vector<std::pair<std::string, at::Tensor>>& state,
                         const std::string& run) {
  std::vector<std::pair<std::string, at::Tensor>> moments;
  std::map<std::string, at::Tensor> wide;
  coefficients_.reset();
  for (const auto& [name, tensor] : state) {
    if (name == kCoefficients) {
      coefficients_ = to_coefficients(tensor);
    } else if (core::starts_with(name, checkpoint::kWidePrefix)) {
      wide[name.substr(std::string_view(checkpoint::kWidePrefix).size())] = tensor;
    } else {
      moments.emplace_back(name, tensor);
    }
  }
  policy_->load_weights(model, wide, run);
  optimizer_.load_state(moments);
}

}  // namespace sgrpo::learner
