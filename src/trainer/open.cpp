#include <ATen/ATen.h>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/config/binder.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "trainer/open.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

eval::EncoderLimits limits_of(const RunConfig& config, Task task) {
  // Injected and supervised completions must fit whole: they are refused at load, never truncated.
  const int64_t longest = task == Task::kSft ? 0 : config.rollout.max_new_tokens;
  eval::EncoderLimits limits = eval::encoder_limits(config.data, longest);
  limits.takes_last_turn = task == Task::kSft;
  return limits;
}

std::vector<std::pair<std::string, at::Tensor>> trainable(const model::Model& model) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (const model::Parameter& parameter : model::trainable_parameters(model)) {
    result.emplace_back(parameter.name, parameter.tensor);
  }
  if (result.empty()) {
    throw core::UserError(
        "model.freeze leaves no parameter to train: remove a module from the list");
  }
  return result;
}

int64_t count_values(const std::vector<model::Parameter>& parameters) {
  int64_t count = 0;
  for (const model::Parameter& parameter : parameters) count += parameter.tensor.numel();
  return count;
}

/// An adapter as model.path trains on only if the configuration says so: without model.lora it
/// would be a surprise either way, to merge it or to freeze the weights.
void check_adapter(const Run& run) {
  if (!has_adapter(run)) return;
  const model::Adapter& adapter = run.policy.model->adapter();
  if (run.config.model.lora.is_null()) {
    throw core::UserError(
        core::str("model.path ",
                  run.config.model.path,
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
             count_values(model::trainable_parameters(*run.policy.model)),
             " values train beside ",
             count_values(run.policy.model->parameters()),
             " weights that do not");
}

/// A module that the model does not have is a misunderstanding of what is trained.
void check_freeze(const Run& run) {
  if (run.policy.model->spec().has_vision) return;
  for (const model::Module module : run.config.model.freeze) {
    if (module == model::Module::kLanguage) continue;
    throw core::UserError(core::str("model.freeze lists '",
                                    core::name_of(module),
                                    "', but ",
                                    run.config.model.path,
                                    " is a ",
                                    run.policy.model->spec().model_type,
                                    " model, which has no vision tower: remove it from the list"));
  }
}

void open_model(Run& run) {
  const RunConfig& config = run.config;
  model::ModelOptions options = config.model;
  options.seed = static_cast<uint64_t>(config.seed);
  run.policy = eval::open_policy(config.model.path, options, limits_of(config, run.task));
  check_adapter(run);
  check_freeze(run);
  run.masked_ids = mask_for(run, *run.policy.model);
  run.optimizer = std::make_unique<optim::AdamW>(trainable(*run.policy.model), config.optim);
  if (config.algorithm.kl_coef > 0.0) open_reference(run);
}

/// What a step of this run could not use although the row is well formed: it is found while the row
/// is read, where a bad row is reported and replaced.
std::function<void(const PromptRecord&)> record_check(const Run& run) {
  if (run.task == Task::kSft) return {};
  return [verifiers = run.verifiers.get(),
          sft_steps = run.config.trainer.sft_steps](const PromptRecord& record) {
    verifiers->check_name(record.verifier, "'verifier'");
    if (sft_steps == 0 || record.injected_text()) return;
    throw core::UserError(core::str(
        "no ground_truth or ground_truth_completion to learn from, which the SFT steps need "
        "(trainer.sft_steps = ",
        sft_steps,
        ")"));
  };
}

/// A bad row of a split is left out by each validation; a split that could never be judged ends the
/// run before its first step instead of at its first validation.
void check_split(const Run& run, const data::EvalSet& split) {
  std::string first;
  for (const auto& record : split.records) {
    try {
      return eval::check_row_verifier(*run.verifiers, *record);
    } catch (const data::RecordError& error) {
      if (first.empty()) first = error.what();
    }
  }
  throw core::UserError(core::str("data.eval.",
                                  split.name,
                                  ": no row of ",
                                  split.records.front()->source.file,
                                  " can be judged: ",
                                  first));
}

void open_data(Run& run) {
  const RunConfig& config = run.config;
  // Validation rows need no completion: the stream has an encoder of its own.
  data::EncoderSpec spec = run.policy.encoder->spec();
  spec.requires_completion = run.task == Task::kSft;
  spec.check_record = record_check(run);
  run.stream = std::make_unique<data::PromptStream>(config.data,
                                                    std::make_shared<data::PromptEncoder>(spec),
                                                    static_cast<uint64_t>(config.seed),
                                                    config.trainer.prompts_per_step);
  for (const auto& [name, path] : config.data.eval) {
    run.eval_sets.push_back(data::load_eval_set(name, path, config.data));
    check_split(run, run.eval_sets.back());
  }
  if (!config.rollout.replay) return;
  run.replay = data::load_replay(*config.rollout.replay,
                                 data::row_options(config.data),
                                 [&](const std::string& id) { return run.stream->find(id); });
  for (const data::RecordedGroup& group : run.replay) {
    if (static_cast<int64_t>(group.completions.size()) != config.rollout.group_size) {
      throw core::UserError(core::str(group.source.str(),
                                      ": ",
                                      group.completions.size(),
                                      " completions, but rollout.group_size is ",
                                      config.rollout.group_size));
    }
  }
}

/// A folder that holds another run's metrics is not silently overwritten.
void open_folder(Run& run) {
  const std::filesystem::path folder = run.config.output_dir;
  run.folder = std::make_unique<checkpoint::RunFolder>(folder);
  const bool never = read_resume(run.config.trainer.resume) == Resume::kNever;
  const bool continues = !never && restore(run);
  if (never && !run.folder->steps().empty()) {
    throw core::UserError(
        core::str(folder.string(),
                  " holds checkpoints of another run and trainer.resume is never: "
                  "choose another output_dir, or remove the folder"));
  }
  run.metrics =
      std::make_unique<telemetry::MetricsWriter>(folder, continues ? run.finished_steps : -1);
  core::write_file_atomic(folder / "config.yaml", config::to_yaml(run.config));
}

}  // namespace

std::string batch_equation(const RunConfig& config, Task task) {
  const bool is_sft = task == Task::kSft;
  const int64_t group_size = is_sft ? 1 : config.rollout.group_size;
  const int64_t minibatches = is_sft ? 1 : config.algorithm.minibatches_per_rollout;
  const int64_t updates = is_sft ? 1 : config.algorithm.epochs_per_rollout * minibatches;
  const int64_t completions = config.trainer.prompts_per_step * group_size;
  return core::str("batch: ",
                   config.trainer.prompts_per_step,
                   " prompts x ",
                   group_size,
                   group_size == 1 ? " completion = " : " completions = ",
                   completions,
                   " completions a step, ",
                   completions,
                   " per rank (1 rank), ",
                   completions / minibatches,
                   " per optimizer step (",
                   updates,
                   updates == 1 ? " update" : " updates",
                   is_sft ? " a step)" : " a rollout)");
}

Trainer::Trainer(RunConfig config, Task task) : run_(std::make_unique<Run>()) {
  Run& run = *run_;
  run.config = std::move(config);
  run.task = task;
  run.config.validate();
  check_alone();
  if (task == Task::kPolicyGradient) {
    algorithm::validate(run.config.algorithm, run.config.injection, run.config.rollout.group_size);
  }
  run.verifiers = std::make_unique<verifier::VerifierSet>(
      run.config.verifier, run.config.verifiers, run.config.rewards);
  // Before the minutes that a large model takes: a second start on the folder ends at once.
  run.lock = std::make_unique<checkpoint::RunLock>(run.config.output_dir);
  set_deterministic(run.config.trainer.deterministic);
  open_model(run);
  open_data(run);
  run.loss.algorithm = run.config.algorithm;
  run.loss.injection = run.config.injection;
  run.loss.aggregation_constant = run.config.algorithm.aggregation_constant.value_or(
      static_cast<double>(run.config.rollout.max_new_tokens));
  open_folder(run);
}

}  // namespace sgrpo::trainer
