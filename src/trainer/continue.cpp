// Whether and where a run goes on, and what it says about it.
#include <system_error>

#include "sgrpo/checkpoint/identity.h"
#include "sgrpo/config/binder.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"
#include "sgrpo/distributed/connect.h"
#include "trainer/frozen.h"
#include "trainer/identity.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

namespace fs = std::filesystem;
using core::Json;

/// Weights of a folder; of an adapter its own and those of its base.
std::string weights_of(const checkpoint::ModelFolder& folder) {
  const std::string base = checkpoint::identify_model(folder.folder()).weights;
  if (!folder.adapter()) return base;
  return core::sha256_hex(base + checkpoint::identify_model(folder.adapter()->folder()).weights);
}

/// What the configuration's paths lead to.
std::map<std::string, Content> contents_of(const State& state) {
  const RunConfig& config = state.config;
  const Json& train = config.data.train;  // a path, or several with weights
  const checkpoint::ModelFolder folder(config.model.path);
  const checkpoint::ModelIdentity model = checkpoint::identify_model(folder.folder());
  std::map<std::string, Content> contents = {
      {"model.path", {config.model.path, weights_of(folder)}},
      {"model.tokenizer", {config.model.path, model.tokenizer}},
      {"model.chat_template", {config.model.path, model.chat_template}},
      {"model.processor", {config.model.path, model.processor}},
      {"data.train",
       {train.is_string() ? train.get<std::string>() : core::dump_ascii(train),
        state.feed->stream().fingerprint()}}};
  for (const auto& [name, path] : config.data.eval)
    contents["data.eval." + name] = {path, core::sha256_hex(core::read_file(path))};
  const std::string& reference = config.algorithm.kl_ref;
  const auto add = [&](const char* key, const std::optional<std::string>& path) {
    if (path) contents[key] = {*path, core::sha256_hex(core::read_file(*path))};
  };
  add("data.baseline", config.data.baseline);
  add("retention.data", config.retention.data);
  add("demonstrations.data", config.demonstrations.data);
  for (const auto& [name, frozen] : read_frozen(config.frozen)) {
    if (frozen.begins_at_start()) continue;
    contents["frozen." + name] = {frozen.from, weights_of(checkpoint::ModelFolder(frozen.from))};
  }
  const bool is_folder = !config.algorithm.refers_to_start() && !config.refers_to_frozen();
  if (config.needs_reference() && is_folder)
    contents["algorithm.kl_ref"] = {reference, weights_of(checkpoint::ModelFolder(reference))};
  return contents;
}

/// Continues from one checkpoint.
void continue_from(State& state, const fs::path& checkpoint) {
  const std::string where = (checkpoint / "state.json").string();
  const Json saved = core::parse_json(core::read_file(where), where);
  const Json* before = core::find(saved, "identity");
  if (before == nullptr) {
    throw core::UserError(core::str(where,
                                    " says nothing about the run's settings (an earlier version "
                                    "wrote it): give its model/ as model.path of a new run"));
  }
  const auto changes = changes_between(
      *before, state.identity, make_identity(RunConfig(), state.task, /*contents=*/{}));
  check_changes(changes, parse_allowed(state.allowed_changes, state.identity), checkpoint.string());
  for (const Change& change : changes)
    core::warn("changed since ", checkpoint.filename().string(), ": ", change.text);
  const auto is_same = [&](const char* key) {
    return before->contains(key) && before->at(key) == state.identity.at(key);
  };
  if (Demonstrations* rows = state.feed->demonstrations(); rows != nullptr) {
    rows->resume(core::get_int(saved, "step", where, 0),
                 is_same("demonstrations.data") ? core::find(saved, "demonstrations") : nullptr);
  }
  if (Retention* retention = state.feed->retention(); retention != nullptr && state.is_main()) {
    // Before the weights are the checkpoint's: the policy is still the start model.
    retention->open(state.learner->policy(),
                    core::get_int(saved, "step", where, 0),
                    is_same("retention.data") ? core::find(saved, "retention") : nullptr);
  }
  restore(state, checkpoint, saved);
  core::info(
      "continuing after step ", state.progress.finished_steps, " of ", state.config.output_dir);
}

/// The newest checkpoint of output_dir that can be read to its end.
fs::path continue_newest(State& state) {
  std::optional<int64_t> step = state.folder->newest();
  while (step) {
    const fs::path folder = state.folder->folder_of(*step);
    try {
      continue_from(state, folder);
      return folder;
    } catch (const core::RunError& error) {
      core::warn("passing over ", folder.string(), ", which cannot be read: ", error.what());
    }
    step = state.folder->newest(*step);
  }
  return {};
}

/// Of a run that begins, or that goes back to where it began.
void begin_stream(State& state) {
  state.feed->stream().resume(1, 0, Json::array(), state.passed_over);
}

/// The checkpoint that trainer.resume names, one of this run or of another.
fs::path continue_named(State& state) {
  std::error_code error;
  const fs::path given = state.config.trainer.resume, folder = fs::canonical(given, error);
  if (error || !fs::exists(folder / "state.json", error)) {
    throw core::UserError(core::str("trainer.resume is ",
                                    given.string(),
                                    ", which is no checkpoint of a run: expected auto, never or a "
                                    "folder such as RUN/checkpoints/step-000100"));
  }
  if (const std::string damage = checkpoint::find_damage(folder); !damage.empty()) {
    throw core::NoCheckpointError(
        core::str("trainer.resume: ", folder.string(), " cannot be used: ", damage));
  }
  continue_from(state, folder);
  return folder;
}

/// Whether the checkpoint that trainer.resume names is one of output_dir.
bool names_own_step(const State& state) {
  std::error_code error;
  const fs::path named = fs::canonical(state.config.trainer.resume, error);
  return !error &&
         fs::equivalent(named.parent_path(), state.folder->folder_of(0).parent_path(), error);
}

/// config.yaml belongs to the newest step: what earlier steps ran with is kept under their last
/// one, and a run without a step left to train changes nothing.
void keep_configuration(const State& state) {
  const fs::path folder = state.config.output_dir, file = folder / "config.yaml";
  const std::string text = config::to_yaml(state.config);
  std::error_code error;
  if (state.progress.finished_steps > 0 && fs::exists(file, error)) {
    const std::string before = core::read_file(file);
    if (before == text || state.progress.finished_steps >= state.config.trainer.steps) return;
    const fs::path kept =
        folder /
        core::str("config-",
                  state.folder->folder_of(state.progress.finished_steps).filename().string(),
                  ".yaml");
    // One that is there already trained; what replaced it since then did not.
    if (!fs::exists(kept, error)) core::write_file_atomic(kept, before);
  }
  core::write_file_atomic(file, text);
}

/// The state says which step is the best; a kill may have come before it was linked.
void link_best(const State& state) {
  const int64_t step = state.progress.best_step;
  if (step == 0 || state.folder->best() == step) return;
  state.folder->mark_best(step);
}

/// Takes up the checkpoint that the run goes on from, if there is one, and says which.
fs::path go_on(State& state, bool is_again) {
  const Resume resume = read_resume(state.config.trainer.resume);
  const bool is_empty = state.folder->is_empty();
  if (resume == Resume::kNever && !is_empty && !is_again) {
    throw core::UserError(
        core::str(state.config.output_dir,
                  " holds checkpoints of another run and trainer.resume is never: "
                  "choose another output_dir, or trainer.resume: auto to continue it"));
  }
  fs::path taken;
  if (resume == Resume::kCheckpoint && (is_empty || (names_own_step(state) && !is_again))) {
    taken = continue_named(state);
  } else if (!is_empty) {
    taken = continue_newest(state);
  } else {
    begin_stream(state);
  }
  if (is_empty) return taken;
  // Only once it is taken up: what was gone back behind is removed, and never the only good one.
  state.folder->go_back(state.progress.finished_steps);
  link_best(state);
  return taken;
}

/// As rank 0, which alone writes to the folder, and which all others follow.
void go_on_together(State& state, bool is_again) {
  auto& ranks = *state.communicator;
  Retention* retention = state.feed->retention();
  const std::string own = together(ranks, [&]() -> std::string {
    if (!state.is_main()) return "";
    const fs::path taken = go_on(state, is_again);
    if (retention != nullptr && state.progress.finished_steps == 0)
      retention->open(state.learner->policy(), 0, nullptr);
    return core::dump_ascii(
        Json{{"checkpoint", taken.string()},
             {"progress", state.progress.to_json()},
             {"saved_step", state.saved_step},
             {"retention", retention == nullptr ? Json() : retention->opened()}});
  });
  if (ranks.size() == 1) return;
  const Json first = core::parse_json(ranks.all_gather_bytes(own).front(), "rank 0");
  together(ranks, [&] {
    if (state.is_main()) return;
    const fs::path taken = first.at("checkpoint").get<std::string>();
    taken.empty() ? begin_stream(state) : continue_from(state, taken);
    state.progress = Progress::from_json(first.at("progress"), "rank 0");
    state.saved_step = first.at("saved_step").get<int64_t>();
    if (retention != nullptr) retention->open_as(first.at("retention"));
  });
}

/// Settings and what they lead to, of all ranks.
void check_same_identity(const State& state) {
  if (state.communicator->size() == 1) return;
  std::vector<Json> identities;
  std::vector<std::string> names;
  for (const std::string& bytes :
       state.communicator->all_gather_bytes(core::dump_ascii(state.identity))) {
    names.push_back(core::str("rank ", names.size()));
    identities.push_back(core::parse_json(bytes, names.back()));
  }
  distributed::check_same_settings(identities, names);
}

}  // namespace

void check_output_folder(const fs::path& folder) {
  std::error_code error;
  for (const char* file : {"config.json", "adapter_config.json", "model.safetensors"}) {
    if (!fs::exists(folder / file, error)) continue;
    throw core::UserError(core::str("output_dir ",
                                    folder.string(),
                                    " is a model folder (it has ",
                                    file,
                                    "): choose a folder of the run's own"));
  }
}

std::string how_to_continue(const RunConfig& config) {
  return read_resume(config.trainer.resume) == Resume::kAuto
             ? "the same command continues"
             : "the same command with trainer.resume=auto continues";
}

void open_folder(State& state, bool is_again) {
  const fs::path folder = state.config.output_dir;
  together(*state.communicator, [&] {
    if (state.is_main()) state.folder = std::make_unique<checkpoint::RunFolder>(folder);
    state.identity = make_identity(state.config, state.task, contents_of(state));
    parse_allowed(state.allowed_changes, state.identity);  // a misspelt key is told in any case
  });
  check_same_identity(state);
  go_on_together(state, is_again);
  const bool continues = state.progress.finished_steps > 0;
  if (Demonstrations* rows = state.feed->demonstrations(); rows != nullptr && !continues)
    rows->resume(0, nullptr);
  if (!state.is_main()) return;
  state.metrics = std::make_unique<telemetry::MetricsWriter>(
      folder, continues ? state.progress.finished_steps : -1);
  telemetry::cut_completions(folder, state.progress.finished_steps);
  state.completions = std::make_unique<telemetry::CompletionsWriter>(folder);
  keep_configuration(state);
}

}  // namespace sgrpo::trainer
