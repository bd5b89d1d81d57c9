#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"
#include "trainer/frozen.h"
#include "trainer/identity.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// Whether pictures of the same rows become the same patches.
bool encodes_alike(const core::Json& before, const core::Json& now) {
  constexpr std::array kKeys = {"data.min_pixels", "data.max_pixels", "model.processor"};
  return std::all_of(kKeys.begin(), kKeys.end(), [&](const char* key) {
    return before.contains(key) && now.contains(key) &&
           is_same_setting(before.at(key), now.at(key));
  });
}

/// The stream goes on where the saved one stopped. Rows of other data cannot be known to be bad.
void restore_stream(State& state, const core::Json& saved, const std::string& where) {
  const core::Json* rejected = core::find(saved, "rejected_rows");
  if (rejected == nullptr || !rejected->is_array())
    throw core::UserError(where + ": rejected_rows is missing, expected a list");
  const auto data_of = [&](const core::Json& identity) {
    return core::get_string(core::get_object(identity, "data.train", where), "sha256", where);
  };
  const bool is_same =
      data_of(core::get_object(saved, "identity", where)) == data_of(state.identity);
  const core::Json* passed_over = core::find(saved, "passed_over");
  if (is_same && passed_over != nullptr && passed_over->is_array())
    state.passed_over.insert(state.passed_over.end(), passed_over->begin(), passed_over->end());
  const core::Json* drawn = core::find(saved, "drawn");
  state.feed->stream().resume(state.progress.finished_steps + 1,
                              core::get_int(saved, "position", where, 0),
                              is_same ? *rejected : core::Json::array(),
                              state.passed_over,
                              is_same && drawn != nullptr ? *drawn : core::Json());
  const core::Json* pixels = core::find(saved, "pixel_hashes");
  if (is_same && pixels != nullptr && pixels->is_array() &&
      encodes_alike(core::get_object(saved, "identity", where), state.identity))
    state.feed->stream().expect_pixels(*pixels);
  state.passed_over = state.feed->stream().passed_over();
}

/// A best step counts as long as it is the best of the same metric and its checkpoint is here.
void restore_best(State& state, const core::Json& saved, const std::string& where) {
  Progress& progress = state.progress;
  const char* key = "trainer.keep_best";
  const core::Json& before = core::get_object(saved, "identity", where);
  const core::Json* metric = core::find(before, key);
  const bool is_same = metric != nullptr && *metric == state.identity.at(key);
  if (!is_same) progress.best_at_start.reset();
  const std::vector<int64_t> steps = state.folder->steps();
  const bool is_here = std::find(steps.begin(), steps.end(), progress.best_step) != steps.end();
  if (is_same && (progress.best_step == 0 || is_here)) return;
  progress.best.reset();
  progress.best_step = 0;
  progress.evaluations_without_best = 0;
}

std::string last_line(const std::filesystem::path& file) {
  const std::string text = core::read_file(file);
  const std::string_view lines = core::trim(text);
  return std::string(lines.substr(lines.rfind('\n') + 1));
}

void write_checkpoint(State& state) {
  state.metrics->sync();  // rows of earlier steps; the last one's is in the state
  checkpoint::RunState saved;
  saved.step = state.progress.finished_steps;
  saved.state = state.progress.to_json();
  saved.state["identity"] = state.identity;
  saved.state["position"] = state.feed->stream().position(saved.step + 1);
  saved.state["drawn"] = state.feed->stream().drawn(saved.step + 1);
  saved.state["rejected_rows"] = state.feed->stream().rejected_rows();
  if (const Retention* retention = state.feed->retention(); retention != nullptr)
    saved.state["retention"] = retention->state(saved.step);
  saved.state["memory"] = state.memory.to_json();
  if (const Demonstrations* rows = state.feed->demonstrations(); rows != nullptr)
    saved.state["demonstrations"] = rows->state(saved.step);
  saved.state["pixel_hashes"] = state.feed->stream().pixel_hashes();
  saved.state["passed_over"] = state.passed_over;
  saved.optimizer = state.learner->state();
  saved.frozen = state.learner->frozen_state();
  state.folder->save(saved, state.learner->writer(), state.config.trainer.keep_last);
}

void note_saved(State& state) {
  state.saved_step = state.progress.finished_steps;
  state.saved_at = std::chrono::steady_clock::now();
  state.starts->forget();
}

}  // namespace

void save_checkpoint(State& state) {
  if (!state.is_main()) return;
  write_checkpoint(state);
  note_saved(state);
}

void save_together(State& state) {
  together(*state.communicator, [&] {
    if (state.is_main()) write_checkpoint(state);
  });
  note_saved(state);
}

void check_space(const State& state) {
  if (!state.is_main() || state.progress.finished_steps >= state.config.trainer.steps) return;
  uint64_t bytes = state.learner->writer().bytes;
  for (const auto& [name, tensor] : state.learner->state()) bytes += tensor.nbytes();
  for (const auto& [name, tensors] : state.learner->frozen_state())
    for (const auto& [weight, tensor] : tensors) bytes += tensor.nbytes();
  state.folder->check_space(bytes, state.config.trainer.keep_last);
}

bool take_row(State& state) {
  Progress& progress = state.progress;
  const std::filesystem::path path =
      std::filesystem::path(state.config.output_dir) / "metrics.jsonl";
  const std::string row =
      state.communicator->all_gather_bytes(state.is_main() ? last_line(path) : std::string())
          .front();
  if (row.empty()) return false;
  const core::Json last = core::parse_json(row, path.string());
  if (core::get_int(last, "step", path.string()) < progress.finished_steps) return false;
  if (progress.is_validated) return true;
  StepReport validation;
  const StepReport metrics = to_report(last);
  for (const auto& [name, value] : metrics.values()) {
    if (core::starts_with(name, "val/")) validation.set(name, value);
  }
  progress.is_validated = true;
  if (validation.values().empty()) return true;
  progress.row.merge(validation);
  note_validation(state, validation);
  if (progress.best_step == progress.finished_steps) {
    if (state.saved_step != progress.finished_steps) save_together(state);
    if (state.is_main()) state.folder->mark_best(progress.finished_steps);
  }
  return true;
}

void restore(State& state, const std::filesystem::path& folder, const core::Json& saved) {
  const std::string where = (folder / "state.json").string();
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const checkpoint::SafetensorsFile file(folder / "optimizer.safetensors");
  for (const checkpoint::TensorEntry& entry : file.entries())
    tensors.emplace_back(entry.name, file.read(entry.name));
  state.learner->load_state(folder / "model", tensors, state.config.output_dir);
  restore_frozen(state, folder);
  state.progress = Progress::from_json(saved, where);
  const int64_t step = state.progress.finished_steps;
  std::error_code error;
  if (state.is_main()) {  // the others hear of it
    const bool is_own = std::filesystem::equivalent(folder, state.folder->folder_of(step), error);
    state.saved_step = is_own ? step : -1;
    restore_best(state, saved, where);
  }
  if (const core::Json* memory = core::find(saved, "memory"); memory != nullptr)
    state.memory.restore(*memory, where);
  restore_stream(state, saved, where);
}

}  // namespace sgrpo::trainer
