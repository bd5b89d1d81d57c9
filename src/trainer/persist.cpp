#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>

#include "sgrpo/checkpoint/adapter_folder.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Names in optimizer.safetensors of weights whose checkpoint dtype is narrower than the one that
/// trains.
const char* const kWide = "weight.";

bool is_narrower(const Run& run, const model::Parameter& parameter) {
  return run.policy.folder->entry(parameter.name).dtype != "F32" &&
         parameter.tensor.scalar_type() == at::kFloat;
}

core::Json to_json(const StepReport& report) {
  core::Json json = core::Json::object();
  for (const auto& [name, value] : report.values()) json[name] = value;
  return json;
}

StepReport to_report(const core::Json& json) {
  StepReport report;
  for (const auto& [name, value] : json.items())  // null: NaN or infinite
    report.set(name, value.is_number() ? value.get<double>() : std::nan(""));
  return report;
}

/// A setting of model.lora, as messages name it.
std::string lora_text(int64_t rank, double alpha, bool is_rank_stabilized) {
  return core::str("rank ", rank, " and alpha ", alpha, is_rank_stabilized ? " (use_rslora)" : "");
}

/// The saved tensors are of this run's adapter: another scale, or other layers, would go on as
/// another model without any trace.
void check_adapter(const Run& run, const checkpoint::AdapterFolder& saved) {
  const model::Adapter& adapter = run.policy.model->adapter();
  const checkpoint::AdapterConfig& config = saved.config();
  const std::string before = lora_text(config.rank, config.alpha, config.is_rank_stabilized),
                    now = lora_text(adapter.rank, adapter.alpha, adapter.is_rank_stabilized);
  const char* remedy = "choose another output_dir, or the setting of before";
  if (before != now) {
    throw core::UserError(core::str(run.config.output_dir,
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

void restore_adapter(Run& run, const checkpoint::AdapterFolder& saved) {
  check_adapter(run, saved);
  for (const model::Parameter& parameter : run.policy.model->adapter().parameters) {
    const at::Tensor value = saved.read(parameter.name);
    check_shape(saved.folder(), parameter, value.sizes());
    at::Tensor target = parameter.tensor;
    target.copy_(value);
  }
}

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

NamedTensors values_of(const std::vector<model::Parameter>& parameters) {
  NamedTensors values;
  for (const model::Parameter& parameter : parameters) {
    values.emplace_back(parameter.name, parameter.tensor.detach());
  }
  return values;
}

/// The model/ folder of a checkpoint of this run: the adapter alone but whole, layers that
/// model.freeze keeps as they are included, or the whole model with the weights that train.
checkpoint::ModelWriter model_writer(const Run& run) {
  if (!has_adapter(run)) {
    const NamedTensors trained = values_of(model::trainable_parameters(*run.policy.model));
    std::map<std::string, at::Tensor> values(trained.begin(), trained.end());
    for (const auto& [copy, original] : run.policy.model->spec().copies) {
      if (const auto found = values.find(original); found != values.end())
        values[copy] = found->second;
    }
    return run.policy.folder->writer([values = std::move(values)](const std::string& name) {
      const auto found = values.find(name);
      return found == values.end() ? at::Tensor() : found->second;
    });
  }
  const model::Adapter& adapter = run.policy.model->adapter();
  return checkpoint::adapter_writer(
      {.base_model = std::filesystem::canonical(run.policy.folder->folder()).string(),
       .rank = adapter.rank,
       .alpha = adapter.alpha,
       .is_rank_stabilized = adapter.is_rank_stabilized,
       .target_modules = adapter.target_modules},
      values_of(adapter.parameters));
}

/// `folder` is the model/ of a verified checkpoint. Of an adapter only the adapter is read: what it
/// adds to is the run's own model.path, wherever that lies by now.
void restore_weights(Run& run,
                     const std::filesystem::path& folder,
                     const std::map<std::string, at::Tensor>& wide) {
  const at::NoGradGuard no_grad;
  const bool is_adapter = checkpoint::is_adapter_folder(folder);
  if (has_adapter(run) != is_adapter) {
    throw core::UserError(core::str(run.config.output_dir,
                                    " was trained ",
                                    is_adapter ? "with" : "without",
                                    " model.lora, this configuration says ",
                                    is_adapter ? "none" : "LoRA",
                                    ": choose another output_dir, or the setting of before"));
  }
  if (is_adapter) return restore_adapter(run, checkpoint::AdapterFolder(folder));
  const checkpoint::ModelFolder saved(folder);
  for (const model::Parameter& parameter : run.policy.model->parameters()) {
    const auto found = wide.find(parameter.name);
    check_shape(folder, parameter, saved.entry(parameter.name).shape);
    at::Tensor target = parameter.tensor;
    target.copy_(found == wide.end() ? saved.read(parameter.name) : found->second);
  }
}

/// The stream goes on where the saved one stopped. Rows of other data cannot be known to be bad.
void restore_stream(Run& run, const core::Json& state, const std::string& where) {
  const core::Json* rejected = core::find(state, "rejected_rows");
  if (rejected == nullptr || !rejected->is_array())
    throw core::UserError(where + ": rejected_rows is missing, expected a list");
  const auto data_of = [&](const core::Json& identity) {
    return core::get_string(core::get_object(identity, "data.train", where), "sha256", where);
  };
  const bool is_same = data_of(core::get_object(state, "identity", where)) == data_of(run.identity);
  run.stream->resume(run.finished_steps + 1,
                     core::get_int(state, "position", where, 0),
                     is_same ? *rejected : core::Json::array());
}

}  // namespace

void save_checkpoint(Run& run) {
  checkpoint::RunState state;
  state.step = run.finished_steps;
  state.state = {{"step", run.finished_steps},
                 {"num_tokens", run.num_tokens},
                 {"skipped_steps", run.skipped_steps},
                 {"no_signal_steps", run.no_signal_steps},
                 {"identity", run.identity},
                 {"position", run.stream->position(run.finished_steps + 1)},
                 {"rejected_rows", run.stream->rejected_rows()},
                 {"row", to_json(run.row)},
                 {"is_validated", run.is_validated},
                 {"evaluations_without_best", run.evaluations_without_best},
                 {"best", run.best ? core::Json(*run.best) : core::Json(nullptr)}};
  state.optimizer = run.optimizer->state();
  for (const model::Parameter& parameter : run.policy.model->parameters()) {
    if (parameter.tensor.requires_grad() && is_narrower(run, parameter))
      state.optimizer.emplace_back(kWide + parameter.name, parameter.tensor.detach());
  }
  run.folder->save(state, model_writer(run), run.config.trainer.keep_last);
  if (run.is_best) run.folder->mark_best(run.finished_steps);
  run.is_best = false;
  run.saved_step = run.finished_steps;
}

bool has_row(const Run& run) {
  const std::filesystem::path path = std::filesystem::path(run.config.output_dir) / "metrics.jsonl";
  const std::string text = core::read_file(path);
  const std::string_view rows = core::trim(text);
  if (rows.empty()) return false;
  const core::Json last = core::parse_json(rows.substr(rows.rfind('\n') + 1), path.string());
  return core::get_int(last, "step", path.string()) >= run.finished_steps;
}

void restore(Run& run, const std::filesystem::path& folder, const core::Json& state) {
  const std::string where = (folder / "state.json").string();
  std::vector<std::pair<std::string, at::Tensor>> optimizer;
  std::map<std::string, at::Tensor> wide;
  const checkpoint::SafetensorsFile file(folder / "optimizer.safetensors");
  for (const checkpoint::TensorEntry& entry : file.entries()) {
    if (core::starts_with(entry.name, kWide)) {
      wide[entry.name.substr(std::string_view(kWide).size())] = file.read(entry.name);
    } else {
      optimizer.emplace_back(entry.name, file.read(entry.name));
    }
  }
  restore_weights(run, folder / "model", wide);
  run.optimizer->load_state(optimizer);
  run.finished_steps = core::get_int(state, "step", where, 1);
  std::error_code error;
  const bool is_own =
      std::filesystem::equivalent(folder, run.folder->folder_of(run.finished_steps), error);
  run.saved_step = is_own ? run.finished_steps : -1;
  restore_stream(run, state, where);
  run.row = to_report(core::get_object(state, "row", where));
  run.is_validated = core::get_bool_or(state, "is_validated", false, where);
  run.evaluations_without_best = core::get_int_or(state, "evaluations_without_best", 0, where);
  run.num_tokens = core::get_int(state, "num_tokens", where);
  run.skipped_steps = core::get_int(state, "skipped_steps", where);
  run.no_signal_steps = core::get_int(state, "no_signal_steps", where);
  if (core::find(state, "best") != nullptr) run.best = core::get_double(state, "best", where);
}

}  // namespace sgrpo::trainer
