// A run's checkpoints: committed atomically, verified on reading, retained by rule.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/checkpoint/written_file.h"
#include "sgrpo/core/json.h"

namespace sgrpo::checkpoint {

/// What a checkpoint holds besides the model.
struct RunState {
  int64_t step = 0;
  core::Json state;  // state.json: counters, data position, config hash
  std::vector<std::pair<std::string, at::Tensor>> optimizer;  // optimizer.safetensors; may be empty
  /// By name: what moves of frozen policies, frozen/NAME/model.safetensors
  std::map<std::string, std::vector<std::pair<std::string, at::Tensor>>> frozen = {};
};

/// Empty if every file that a checkpoint's manifest lists has its size and checksum; else what is
/// wrong. Only files whose name starts with `prefix` are read.
std::string find_damage(const std::filesystem::path& step_folder, const std::string& prefix = "");

/// `<run>/checkpoints`: step-000100/{model/, optimizer.safetensors, state.json, manifest.json},
/// latest, best. One process at a time may write to it: RunLock.
class RunFolder {
 public:
  /// Creates `<run>/checkpoints` if missing, removes leftovers of interrupted saves and ends a
  /// go_back that was interrupted.
  explicit RunFolder(const std::filesystem::path& run);

  /// Saves under a temporary name, writes the manifest (sizes, SHA-256), fsyncs, reads it back,
  /// renames and updates `latest`. Only then removes old steps: the newest keep_last that verify
  /// stay (0 = all), and the linked best one; and steps after this one, which a resumed run has
  /// left behind: the newest step must be the truth. Checks free space first (1.2 x what is
  /// needed). A step that exists already is replaced. `state.state` must be an object; its "step"
  /// is set. Throws core::RunError; the previous checkpoint stays untouched.
  void save(const RunState& state, const ModelWriter& model, int64_t keep_last);

  /// Makes the intact `step`, which a run goes on from, the newest one: later step folders, damaged
  /// and unfinished ones too, go for good, whenever the process dies from here on. Throws
  /// core::NoCheckpointError if a newer version of the program wrote one of them.
  void go_back(int64_t step);

  /// Throws core::RunError if not even one checkpoint of this size fits on the disk, warns if not
  /// as many as there will be during a save. Before the first step, so that none is lost.
  void check_space(uint64_t bytes, int64_t keep_last) const;

  /// Points `best` at a committed step.
  void mark_best(int64_t step);

  /// Whether there is no step folder at all, committed or not.
  bool is_empty() const;
  /// Committed steps, ascending (those whose manifest exists).
  std::vector<int64_t> steps() const;
  /// The newest usable step before `below`; step folders that are passed over are warned about,
  /// each with its reason. Nothing if there is no step folder at all; core::NoCheckpointError if
  /// none is usable, or if a newer version of the program wrote the newest.
  std::optional<int64_t> newest(int64_t below = std::numeric_limits<int64_t>::max()) const;
  /// The step that `best` points at, if any.
  std::optional<int64_t> best() const;
  std::filesystem::path folder_of(int64_t step) const;
  /// Empty if every file of the manifest has its size and checksum; else what is wrong.
  std::string verify(int64_t step) const;
  /// state.json and the optimizer's tensors of a committed step (not verified here). Throws
  /// core::UserError.
  RunState load(int64_t step) const;

 private:
  void remove_leftovers(const std::filesystem::path& run) const;
  void commit(const std::filesystem::path& temporary, int64_t step);
  void point(const std::string& link, int64_t step) const;
  void point_latest(int64_t step) const;
  bool is_intact(int64_t step) const;
  void remove_later(int64_t step);
  void retain(int64_t saved, int64_t keep_last);
  void remove_step(int64_t step);

  std::filesystem::path folder_;
  mutable std::set<int64_t> intact_;  // verified by this process
};

}  // namespace sgrpo::checkpoint
