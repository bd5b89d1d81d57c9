// The kind of policy that writes text: its checkpoints, opened and checked.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "policy/language_policy.h"
#include "policy/load_progress.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/policy/kind.h"
#include "sgrpo/policy/placement.h"

namespace sgrpo::policy {
namespace {

/// `read`, but a tensor that holds NaN or infinity is refused: nothing that a model computes with
/// it means anything.
model::TensorReader finite(model::TensorReader read, std::string where) {
  return [read = std::move(read), where = std::move(where)](const std::string& name) {
    at::Tensor tensor = read(name);
    if (!tensor.is_floating_point() || tensor.numel() == 0) return tensor;
    const auto [low, high] = at::aminmax(tensor);  // NaN if one value is
    if (!std::isfinite(low.item<double>()) || !std::isfinite(high.item<double>())) {
      throw core::UserError(core::str(where,
                                      ": tensor '",
                                      name,
                                      "' holds NaN or infinity: the file is damaged, or its "
                                      "training diverged; take an earlier checkpoint"));
    }
    return tensor;
  };
}

/// The adapter's tensors by name, from wherever `read` takes them.
model::AdapterSource adapter_source(const checkpoint::AdapterFolder& adapter) {
  return {.where = adapter.folder().string(),
          .rank = adapter.config().rank,
          .alpha = adapter.config().alpha,
          .is_rank_stabilized = adapter.config().is_rank_stabilized,
          .names = adapter.names(),
          .read = finite([&adapter](const std::string& name) { return adapter.read(name); },
                         adapter.folder().string())};
}

model::ModelSource source_of(const std::shared_ptr<const checkpoint::ModelFolder>& folder) {
  model::ModelSource source{
      .config = folder->config(),
      .where = folder->config_path(),
      .names = folder->names(),
      .read = [folder](const std::string& name) { return folder->read(name); }};
  if (folder->adapter()) source.adapter = adapter_source(*folder->adapter());
  return source;
}

int64_t count_values(const std::vector<model::Parameter>& parameters) {
  int64_t count = 0;
  for (const model::Parameter& parameter : parameters) count += parameter.tensor.numel();
  return count;
}

/// An adapter as model.path trains on only if the configuration says so: without model.lora it
/// would be a surprise either way, to merge it or to freeze the weights.
void check_adapter(const LanguagePolicy& policy, const model::ModelOptions& options) {
  if (!policy.has_adapter()) return;
  const model::Adapter& adapter = policy.model().adapter();
  if (options.lora.is_null()) {
    throw core::UserError(
        core::str("model.path ",
                  options.path,
                  " is an adapter, but model.lora is null: set model.lora={rank: ",
                  adapter.rank,
                  ", alpha: ",
                  adapter.alpha,
                  ", targets: [",
                  core::join(adapter.target_modules, ", "),
                  "]} to go on training it, or merge it first with `sgrpo export` "
                  "to train all weights"));
  }
  core::info("LoRA: rank ",
             adapter.rank,
             ", ",
             adapter.parameters.size() / 2,
             " layers, ",
             count_values(model::trainable_parameters(policy.model())),
             " values train beside ",
             count_values(policy.model().parameters()),
             " weights that do not");
}

/// A module that the model does not have is a misunderstanding of what is trained.
void check_freeze(const LanguagePolicy& policy, const model::ModelOptions& options) {
  if (policy.model().spec().has_vision) return;
  for (const model::Module module : options.freeze) {
    if (module == model::Module::kLanguage) continue;
    throw core::UserError(core::str("model.freeze lists '",
                                    core::name_of(module),
                                    "', but ",
                                    options.path,
                                    " is a ",
                                    policy.model().spec().model_type,
                                    " model, which has no vision tower: remove it from the list"));
  }
}

/// Says what was chosen; where a GPU was hoped for, why it is none.
model::Placement choose_placement(const model::ModelOptions& options) {
  const CudaState cuda = read_cuda_state();
  const model::Placement placement = resolve_placement(options, cuda, read_local_rank());
  const std::string why = why_no_cuda(cuda);
  if (cuda.is_built && !why.empty() && options.device == model::DeviceKind::kAuto)
    core::warn(why, ": computing on the CPU");
  core::info("computing on ", placement.device.str(), " in ", dtype_name(placement));
  return placement;
}

std::unique_ptr<Policy> open_language(const OpenRequest& request) {
  LanguageParts parts;
  parts.max_batch_rows = request.max_batch_rows;
  parts.folder = request.folder;
  parts.encoder = open_encoder(*parts.folder, request.limits);
  parts.model =
      load_language_model(parts.folder, request.options, choose_placement(request.options));
  for (const std::string& remark : parts.model->spec().remarks) core::warn(remark);
  parts.options = request.options;
  const data::EncoderSpec& spec = parts.encoder->spec();
  parts.end_token_ids = spec.end_ids;
  if (std::find(spec.end_ids.begin(), spec.end_ids.end(), spec.turn_end_id) == spec.end_ids.end())
    parts.end_token_ids.push_back(spec.turn_end_id);
  auto policy = std::make_unique<LanguagePolicy>(std::move(parts));
  if (request.trains) {
    check_adapter(*policy, request.options);
    check_freeze(*policy, request.options);
  }
  return policy;
}

Kind language_kind() {
  return {.architectures = [] { return model::FamilyRegistry::names(); },
          .open = open_language,
          .open_reference = open_language_reference};
}

const bool registered_language_kind = KindRegistry::add("language", language_kind);

}  // namespace

model::ModelOptions without_training(model::ModelOptions options) {
  options.freeze = {model::Module::kVision, model::Module::kMerger, model::Module::kLanguage};
  options.lora = nullptr;
  return options;
}

std::unique_ptr<model::Model> load_language_model(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder,
    const model::ModelOptions& options,
    const model::Placement& placement) {
  LoadProgress progress(folder->folder().string(), folder->bytes());
  model::ModelSource source = source_of(folder);
  source.placement = placement;
  source.read = finite(progress.counted(std::move(source.read)), folder->folder().string());
  return model::load_model(source, options);
}

std::function<at::Tensor(const std::string&)> merged_weights(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder) {
  return model::merge_adapter(source_of(folder));
}

}  // namespace sgrpo::policy
