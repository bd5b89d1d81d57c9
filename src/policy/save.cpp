// A language policy to and from the model folder of a checkpoint.
#include <ATen/ATen.h>

#include <set>

#include "policy/language_policy.h"
#include "sgrpo/checkpoint/adapter_folder.h"
#include "sgrpo/core/error.h"

namespace sgrpo::policy {
namespace {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

NamedTensors values_of(const std::vector<model::Parameter>& parameters) {
  NamedTensors values;
  for (const model::Parameter& parameter : parameters) {
    values.emplace_back(parameter.name, parameter.tensor.detach());
  }
  return values;
}

/// A setting of model.lora, as messages name it.
std::string lora_text(int64_t rank, double alpha, bool is_rank_stabilized) {
  return core::str("rank ", rank, " and alpha ", alpha, is_rank_stabilized ? " (use_rslora)" : "");
}

/// The saved tensors are of this run's adapter: another scale, or other layers, would go on as
/// another model without any trace.
void check_adapter(const model::Adapter& adapter,
                   const checkpoint::AdapterFolder& saved,
                   const std::string& run) {
  const checkpoint::AdapterConfig& config = saved.config();
  const std::string before = lora_text(config.rank, config.alpha, config.is_rank_stabilized),
                    now = lora_text(adapter.rank, adapter.alpha, adapter.is_rank_stabilized);
  const char* remedy = "choose another output_dir, or the setting of before";
  if (before != now) {
    throw core::UserError(core::str(run,
                                    " was trained with model.lora of ",
                                    before,
                                    ", this configuration says ",
                                    now,
                                    ": ",
                                    remedy));
  }
  const auto refuse = [&](const char* verb, const std::string& name, const char* what) {
    throw core::UserError(core::str(saved.folder().string(),
                                    verb,
                                    name,
                                    what,
                                    ": model.lora.targets or model.freeze changed; ",
                                    remedy));
  };
  std::set<std::string> expected;
  for (const model::Parameter& parameter : adapter.parameters) expected.insert(parameter.name);
  const std::set<std::string> found(saved.names().begin(), saved.names().end());
  for (const std::string& name : found) {
    if (expected.count(name) == 0)
      refuse(" holds '", name, "', which this configuration does not train");
  }
  for (const std::string& name : expected) {
    if (found.count(name) == 0) refuse(" has no '", name, "', which this configuration trains");
  }
}

/// What does not fit was saved of another model.
void check_shape(const std::filesystem::path& folder,
                 const model::Parameter& parameter,
                 at::IntArrayRef shape) {
  if (shape == parameter.tensor.sizes()) return;
  throw core::UserError(core::str(folder.string(),
                                  ": tensor '",
                                  parameter.name,
                                  "' has shape ",
                                  shape,
                                  ", expected ",
                                  parameter.tensor.sizes(),
                                  ": model.path is another base model than before; choose "
                                  "another output_dir, or the model of before"));
}

}  // namespace

void LanguagePolicy::load_adapter(const std::filesystem::path& folder, const std::string& run) {
  const checkpoint::AdapterFolder saved(folder);
  check_adapter(parts_.model->adapter(), saved, run);
  for (const model::Parameter& parameter : parts_.model->adapter().parameters) {
    const at::Tensor value = saved.read(parameter.name);
    check_shape(folder, parameter, value.sizes());
    at::Tensor target = parameter.tensor;
    target.copy_(value);
  }
}

/// The adapter alone but whole, layers that model.freeze keeps as they are included; or the whole
/// model with the weights that train.
checkpoint::ModelWriter LanguagePolicy::writer() const {
  if (!has_adapter()) {
    const NamedTensors trained = values_of(model::trainable_parameters(*parts_.model));
    std::map<std::string, at::Tensor> values(trained.begin(), trained.end());
    for (const auto& [copy, original] : parts_.model->spec().copies) {
      if (const auto found = values.find(original); found != values.end())
        values[copy] = found->second;
    }
    return parts_.folder->writer([values = std::move(values)](const std::string& name) {
      const auto found = values.find(name);
      return found == values.end() ? at::Tensor() : found->second;
    });
  }
  const model::Adapter& adapter = parts_.model->adapter();
  return checkpoint::adapter_writer(
      {.base_model = std::filesystem::canonical(parts_.folder->folder()).string(),
       .rank = adapter.rank,
       .alpha = adapter.alpha,
       .is_rank_stabilized = adapter.is_rank_stabilized,
       .target_modules = adapter.target_modules},
      values_of(adapter.parameters));
}

/// Of an adapter only the adapter is read: what it adds to is the policy's own base, wherever that
/// lies by now.
void LanguagePolicy::load_weights(const std::filesystem::path& folder,
                                  const std::map<std::string, at::Tensor>& wide,
                                  const std::string& run) {
  const at::NoGradGuard no_grad;
  const bool is_adapter = checkpoint::is_adapter_folder(folder);
  if (has_adapter() != is_adapter) {
    throw core::UserError(core::str(run,
                                    " was trained ",
                                    is_adapter ? "with" : "without",
                                    " model.lora, this configuration says ",
                                    is_adapter ? "none" : "LoRA",
                                    ": choose another output_dir, or the setting of before"));
  }
  if (is_adapter) return load_adapter(folder, run);
  const checkpoint::ModelFolder saved(folder);
  for (const model::Parameter& parameter : parts_.model->parameters()) {
    const auto found = wide.find(parameter.name);
    check_shape(folder, parameter, saved.entry(parameter.name).shape);
    at::Tensor target = parameter.tensor;
    target.copy_(found == wide.end() ? saved.read(parameter.name) : found->second);
  }
}

}  // namespace sgrpo::policy
