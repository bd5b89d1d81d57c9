#include "sgrpo/eval/policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::eval {
namespace {

const char* const kTurnEnd = "<|im_end|>";

std::string config_path(const checkpoint::ModelFolder& folder) {
  return (folder.folder() / "config.json").string();
}

void check_tokenizer(const checkpoint::ModelFolder& folder,
                     const model::ModelSpec& spec,
                     const tokenizer::Tokenizer& tokenizer) {
  const std::string where = config_path(folder);
  if (tokenizer.size() > spec.vocab_size) {
    throw core::UserError(core::str(where,
                                    ": the tokenizer has ",
                                    tokenizer.size(),
                                    " ids, but vocab_size is ",
                                    spec.vocab_size,
                                    ": tokenizer and weights do not belong together"));
  }
  if (tokenizer.size() < spec.vocab_size / 2) {  // published models leave below 1 % unused
    core::warn(where,
               ": vocab_size is ",
               spec.vocab_size,
               ", but the tokenizer has only ",
               tokenizer.size(),
               " ids; the other rows are never sampled. Is it this model's tokenizer?");
  }
  if (spec.has_vision && !tokenizer.token_id("<|image_pad|>")) {
    throw core::UserError(core::str(where,
                                    ": image_token_id is ",
                                    spec.image_token_id,
                                    ", but the tokenizer has no <|image_pad|>: tokenizer and "
                                    "weights do not belong together"));
  }
  const auto check_id = [&](const char* key, const char* token, int64_t id) {
    const auto known = tokenizer.token_id(token);
    if (id >= 0 && known && *known != id) {
      throw core::UserError(core::str(where,
                                      ": ",
                                      key,
                                      " is ",
                                      id,
                                      ", but the tokenizer's ",
                                      token,
                                      " is ",
                                      *known,
                                      ": tokenizer and weights do not belong together"));
    }
  };
  check_id("image_token_id", "<|image_pad|>", spec.image_token_id);
  check_id("video_token_id", "<|video_pad|>", spec.video_token_id);
}

void check_end_ids(const std::vector<int64_t>& ids,
                   const checkpoint::ModelFolder& folder,
                   const model::ModelSpec& spec) {
  for (const int64_t id : ids) {
    if (id >= 0 && id < spec.vocab_size) continue;
    throw core::UserError(core::str(folder.folder().string(),
                                    ": eos_token_id (generation_config.json, else config.json) "
                                    "has ",
                                    id,
                                    ", expected ids of the embedding's rows, 0..",
                                    spec.vocab_size - 1));
  }
}

void check_processor(const checkpoint::ModelFolder& folder,
                     const model::ModelSpec& spec,
                     const image::ProcessorConfig& processor) {
  const auto check = [&](const char* key, int64_t found, int64_t expected) {
    if (found != expected) {
      throw core::UserError(core::str(processor.where,
                                      ": ",
                                      key,
                                      " is ",
                                      found,
                                      ", but vision_config in ",
                                      config_path(folder),
                                      " says ",
                                      expected));
    }
  };
  check("patch_size", processor.patch_size, spec.patch_size);
  check("merge_size", processor.merge_size, spec.merge_size);
  check("temporal_patch_size", processor.temporal_patch_size, spec.temporal_patch_size);
}

data::EncoderSpec encoder_spec(const checkpoint::ModelFolder& folder,
                               const model::ModelSpec& spec,
                               const EncoderLimits& limits) {
  data::EncoderSpec result;
  result.tokenizer = tokenizer::load_tokenizer(folder.folder());
  result.chat = tokenizer::ChatTemplate::load(folder.folder());
  check_tokenizer(folder, spec, *result.tokenizer);
  const auto turn_end = result.tokenizer->token_id(kTurnEnd);
  if (!turn_end) {
    throw core::UserError(core::str(folder.folder().string(),
                                    ": the tokenizer has no ",
                                    kTurnEnd,
                                    " token, which ends a turn of ChatML"));
  }
  result.turn_end_id = *turn_end;
  result.end_ids = folder.end_token_ids();
  check_end_ids(result.end_ids, folder, spec);
  result.image_token_id = spec.image_token_id;
  result.video_token_id = spec.video_token_id;
  result.max_prompt_tokens = std::min(limits.max_prompt_tokens, spec.max_positions);
  result.max_ground_truth_tokens = limits.max_ground_truth_tokens;
  if (!spec.has_vision) return result;
  result.processor = image::load_processor(folder.folder());
  if (!result.processor) {
    throw core::UserError(
        core::str(folder.folder().string(),
                  ": no preprocessor_config.json or processor_config.json, which ",
                  spec.model_type,
                  " needs to read images"));
  }
  check_processor(folder, spec, *result.processor);
  if (limits.min_pixels) result.processor->min_pixels = *limits.min_pixels;
  if (limits.max_pixels) result.processor->max_pixels = *limits.max_pixels;
  if (result.processor->min_pixels > result.processor->max_pixels) {
    throw core::UserError(core::str("data.min_pixels is ",
                                    result.processor->min_pixels,
                                    ", larger than max_pixels = ",
                                    result.processor->max_pixels));
  }
  return result;
}

/// The adapter's tensors by name, from wherever `read` takes them.
model::AdapterSource adapter_source(const checkpoint::AdapterFolder& adapter) {
  return {.where = adapter.folder().string(),
          .rank = adapter.config().rank,
          .alpha = adapter.config().alpha,
          .is_rank_stabilized = adapter.config().is_rank_stabilized,
          .names = adapter.names(),
          .read = [&adapter](const std::string& name) { return adapter.read(name); }};
}

model::ModelSource source_of(const std::shared_ptr<const checkpoint::ModelFolder>& folder) {
  model::ModelSource source{
      .config = folder->config(),
      .where = config_path(*folder),
      .names = folder->names(),
      .read = [folder](const std::string& name) { return folder->read(name); }};
  if (folder->adapter()) source.adapter = adapter_source(*folder->adapter());
  return source;
}

/// Loads without anything that learns: a KL reference.
std::unique_ptr<model::Model> load_frozen(const model::ModelSource& source,
                                          const model::ModelOptions& options) {
  model::ModelOptions frozen = options;
  frozen.freeze = {"vision", "merger", "language"};
  frozen.lora = nullptr;
  return model::load_model(source, frozen);
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

EncoderLimits encoder_limits(const data::DataOptions& options, int64_t max_ground_truth_tokens) {
  return {.min_pixels = options.min_pixels,
          .max_pixels = options.max_pixels,
          .max_prompt_tokens = options.max_prompt_tokens,
          .max_ground_truth_tokens = max_ground_truth_tokens};
}

std::shared_ptr<const data::PromptEncoder> open_encoder(const checkpoint::ModelFolder& folder,
                                                        const EncoderLimits& limits) {
  const model::ModelSpec spec = model::read_spec(folder.config(), config_path(folder));
  return std::make_shared<data::PromptEncoder>(encoder_spec(folder, spec, limits));
}

Policy open_policy(const std::filesystem::path& path,
                   const model::ModelOptions& options,
                   const EncoderLimits& limits) {
  Policy policy;
  policy.folder = std::make_shared<checkpoint::ModelFolder>(path);
  policy.encoder = open_encoder(*policy.folder, limits);
  policy.model = model::load_model(source_of(policy.folder), options);
  const data::EncoderSpec& spec = policy.encoder->spec();
  policy.end_token_ids = policy.folder->end_token_ids();
  if (policy.end_token_ids.empty()) policy.end_token_ids = {spec.turn_end_id};
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

std::unique_ptr<model::Model> open_reference(const std::filesystem::path& path,
                                             const model::ModelOptions& options) {
  return load_frozen(source_of(std::make_shared<checkpoint::ModelFolder>(path)), options);
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
  return load_frozen(source, options);
}

std::function<at::Tensor(const std::string&)> merged_weights(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder) {
  return [source = source_of(folder)](const std::string& name) {
    return model::merge_adapter(source, name);
  };
}

}  // namespace sgrpo::eval
