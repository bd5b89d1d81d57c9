#include <ATen/ATen.h>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {

void save_checkpoint(State& state) {
  checkpoint::RunState saved;
  saved.step = state.progress.finished_steps;
  saved.state = state.progress.to_json();
  saved.state["data_fingerprint"] = state.feed->stream().fingerprint();
  saved.state["rejected_rows"] = state.feed->stream().rejected_rows();
  saved.optimizer = state.learner->state();
  state.folder->save(saved, state.learner->writer(), state.config.trainer.keep_last);
  state.saved_step = saved.step;
}

void keep_best(State& state) {
  if (state.saved_step != state.progress.finished_steps) save_checkpoint(state);
  state.folder->mark_best(state.progress.finished_steps);
}

bool take_row(State& state) {
  Progress& progress = state.progress;
  const std::filesystem::path path =
      std::filesystem::path(state.config.output_dir) / "metrics.jsonl";
  const std::string text = core::read_file(path);
  const std::string_view rows = core::trim(text);
  if (rows.empty()) return false;
  const core::Json last = core::parse_json(rows.substr(rows.rfind('\n') + 1), path.string());
  if (core::get_int(last, "step", path.string()) < progress.finished_steps) return false;
  if (progress.is_validated) return true;
  StepReport validation;
  for (const auto& [name, value] : to_report(last).values()) {
    if (core::starts_with(name, "val/")) validation.set(name, value);
  }
  progress.is_validated = true;
  if (validation.values().empty()) return true;
  progress.row.merge(validation);
  note_validation(state, validation);
  if (progress.best_step == progress.finished_steps) keep_best(state);
  return true;
}

bool restore(State& state) {
  const auto steps = state.folder->steps();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::filesystem::path folder = state.folder->folder_of(*step);
    if (const std::string damage = state.folder->verify(*step); !damage.empty()) {
      core::warn(
          "checkpoint ", folder.string(), " is damaged (", damage, "): trying the one before");
      continue;
    }
    const std::string where = (folder / "state.json").string();
    const core::Json saved = core::parse_json(core::read_file(where), where);
    data::PromptStream& stream = state.feed->stream();
    if (core::get_string_or(saved, "data_fingerprint", "", where) != stream.fingerprint()) {
      throw core::UserError(
          core::str("data.train changed since ",
                    folder.string(),
                    " was saved: choose another output_dir, or restore the data"));
    }
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    const checkpoint::SafetensorsFile file(folder / "optimizer.safetensors");
    for (const checkpoint::TensorEntry& entry : file.entries())
      tensors.emplace_back(entry.name, file.read(entry.name));
    state.learner->load_state(folder / "model", tensors, state.config.output_dir);
    state.progress = Progress::from_json(saved, where);
    state.saved_step = *step;
    stream.load_rejected_rows(saved.at("rejected_rows"), *step);
    core::info("continuing after step ", *step, " of ", state.config.output_dir);
    return true;
  }
  if (!steps.empty()) {
    throw core::NoCheckpointError(
        core::str(state.config.output_dir,
                  ": all ",
                  steps.size(),
                  " checkpoints are damaged; remove the folder to start anew"));
  }
  return false;
}

}  // namespace sgrpo::trainer
