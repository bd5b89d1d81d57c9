#include "sgrpo/eval/policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "eval/load_progress.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::eval {
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

/// Loads from a folder and says so.
std::unique_ptr<model::Model> load_from(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder,
    const model::ModelOptions& options) {
  LoadProgress progress(folder->folder().string(), folder->bytes());
  model::ModelSource source = source_of(folder);
  source.read = finite(progress.counted(std::move(source.read)), folder->folder().string());
  return model::load_model(source, options);
}

/// Options without anything that learns: a KL reference.
model::ModelOptions without_training(model::ModelOptions options) {
  options.freeze = {model::Module::kVision, model::Module::kMerger, model::Module::kLanguage};
  options.lora = nullptr;
  return options;
}

const at::Tensor& tensor_of(const std::vector<model::Parameter>& parameters,
                            const std::string& name) {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [&](const model::Parameter& parameter) {
        return parameter.name == name;
      });
  SGRPO_CHECK(found != parameters.end(), "the model has no parameter '", name, "'");
  return found->tensor;
}

}  // namespace

Policy open_policy(const std::filesystem::path& path,
                   const model::ModelOptions& options,
                   const EncoderLimits& limits) {
  Policy policy;
  // An adapter adds to the model/ that others open, not to the weights beside it.
  policy.folder = std::make_shared<checkpoint::ModelFolder>(
      path, options.lora.is_null() ? checkpoint::Digits::kWide : checkpoint::Digits::kRounded);
  core::info("opened ", policy.folder->describe());
  policy.encoder = open_encoder(*policy.folder, limits);
  policy.model = load_from(policy.folder, options);
  for (const std::string& remark : policy.model->spec().remarks) core::warn(remark);
  const data::EncoderSpec& spec = policy.encoder->spec();
  policy.end_token_ids = spec.end_ids;
  if (std::find(spec.end_ids.begin(), spec.end_ids.end(), spec.turn_end_id) == spec.end_ids.end())
    policy.end_token_ids.push_back(spec.turn_end_id);
  policy.masked_ids = rollout::sampling_mask(policy.model->spec(), spec.tokenizer->size());
  return policy;
}

std::string find_bad_id(const Policy& policy, const std::vector<int64_t>& completion_ids) {
  const model::ModelSpec& spec = policy.model->spec();
  for (const int64_t id : completion_ids) {
    if (id < 0 || id >= spec.vocab_size)
      return core::str("token id ", id, ", expected 0..", spec.vocab_size - 1);
    if (id == spec.image_token_id || id == spec.video_token_id)
      return core::str("token id ", id, ", an image or video placeholder");
  }
  return "";
}

std::unique_ptr<model::Model> open_reference(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder,
    const model::ModelOptions& options) {
  core::info("opened ", folder->describe(), " as the reference");
  return load_from(folder, without_training(options));
}

std::unique_ptr<model::Model> share_as_reference(const Policy& policy,
                                                 const model::ModelOptions& options) {
  const model::Adapter& adapter = policy.model->adapter();
  SGRPO_CHECK(!adapter.parameters.empty(), "without an adapter the shared weights would train");
  model::ModelSource source = source_of(policy.folder);
  source.names.clear();
  for (const model::Parameter& parameter : policy.model->parameters())
    source.names.push_back(parameter.name);
  source.read = [&policy](const std::string& name) {
    const std::map<std::string, std::string>& copies = policy.model->spec().copies;
    const auto copy = copies.find(name);
    return tensor_of(policy.model->parameters(), copy == copies.end() ? name : copy->second)
        .detach();
  };
  model::AdapterSource copy{.where = "the policy",
                            .rank = adapter.rank,
                            .alpha = adapter.alpha,
                            .is_rank_stabilized = adapter.is_rank_stabilized,
                            .names = {},
                            .read = [&adapter](const std::string& name) {
                              return tensor_of(adapter.parameters, name).detach().clone();
                            }};
  for (const model::Parameter& parameter : adapter.parameters) copy.names.push_back(parameter.name);
  source.adapter = copy;
  return model::load_model(source, without_training(options));
}

std::function<at::Tensor(const std::string&)> merged_weights(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder) {
  return model::merge_adapter(source_of(folder));
}

}  // namespace sgrpo::eval
