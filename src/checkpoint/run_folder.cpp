#include "sgrpo/checkpoint/run_folder.h"

#include <ATen/core/Tensor.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "checkpoint/io.h"
#include "checkpoint/manifest.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStateFile = "state.json";
constexpr const char* kGoingBack = "going-back";  // holds the step that the run goes back to
constexpr double kSpaceReserve = 1.2;

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

uint64_t bytes_of(const NamedTensors& tensors) {
  uint64_t total = 0;
  for (const auto& [name, tensor] : tensors) {
    total += static_cast<uint64_t>(tensor.numel()) * tensor.element_size();
  }
  return total;
}

WrittenFile write_state(const fs::path& folder, const RunState& state) {
  SGRPO_CHECK(state.state.is_object(), "state.json must be an object");
  core::Json json = {{"step", state.step}};
  for (const auto& [key, value] : state.state.items()) {
    if (key != "step") json[key] = value;
  }
  const std::string text = json.dump(2, ' ', true, core::Json::error_handler_t::replace) + "\n";
  core::write_file_atomic(folder / kStateFile, text);
  return {kStateFile, text.size(), core::sha256_hex(text)};
}

uint64_t bytes_of(const RunState& state) {
  uint64_t bytes = bytes_of(state.optimizer);
  for (const auto& [name, tensors] : state.frozen) bytes += bytes_of(tensors);
  return bytes;
}

/// `file` is relative to `folder`.
WrittenFile write_tensors(const fs::path& folder, const std::string& file, NamedTensors tensors) {
  // Wide elements first: every tensor then starts at a multiple of its element size.
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  const std::string digest = write_safetensors(folder / file, tensors);
  return {file, fs::file_size(folder / file), digest};
}

WrittenFile write_frozen(const fs::path& folder,
                         const std::string& name,
                         const NamedTensors& tensors) {
  const fs::path own = fs::path("frozen") / name;
  make_folder(folder / own);
  return write_tensors(folder, (own / "model.safetensors").string(), tensors);
}

constexpr double kMiB = 1024.0 * 1024.0;

int64_t mebibytes(double bytes) { return static_cast<int64_t>(bytes / kMiB); }

/// Nothing where the file system does not tell: writing will.
std::optional<double> free_bytes(const fs::path& folder) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return std::nullopt;
  return static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
}

/// Throws core::RunError if a checkpoint does not fit.
void check_free_space(const fs::path& folder, uint64_t bytes, bool holds_several) {
  const std::optional<double> free = free_bytes(folder);
  const double needed = kSpaceReserve * static_cast<double>(bytes);
  if (!free || *free >= needed) return;
  throw core::RunError(core::str("not enough space to save in ",
                                 folder.string(),
                                 ": ",
                                 mebibytes(*free),
                                 " MiB are free, ",
                                 mebibytes(needed) + 1,
                                 " MiB are needed (1.2 x the checkpoint); free some space",
                                 holds_several ? " or lower trainer.keep_last" : "",
                                 ", then run the same command again"));
}

/// Swaps two folders, so that there is never a moment without either.
bool exchange(const fs::path& a, const fs::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

}  // namespace

RunFolder::RunFolder(const fs::path& run) : folder_(run / "checkpoints") {
  make_folder(folder_);
  remove_leftovers(run);
  std::error_code error;
  if (!fs::exists(folder_ / kGoingBack, error)) return;
  const auto step = parse_step_name(std::string(core::trim(core::read_file(folder_ / kGoingBack))));
  if (step && verify(*step).empty()) remove_later(*step);
  fs::remove_all(folder_ / kGoingBack, error);
}

void RunFolder::remove_leftovers(const fs::path& run) const {
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    if (core::starts_with(entry.path().filename().string(), ".tmp-")) {
      leftovers.push_back(entry.path());
    }
  }
  for (const fs::path& leftover : leftovers) {
    std::error_code error;
    fs::remove_all(leftover, error);
    if (error) {
      core::warn(
          "cannot remove ", leftover.string(), ", left by an interrupted save: ", error.message());
    } else {
      core::info("removed ", leftover.string(), ", left by an interrupted save");
    }
  }
  for (const fs::path& folder : {run, run / "completions", run / "run", folder_})
    core::remove_unfinished_files(folder);
}

fs::path RunFolder::folder_of(int64_t step) const { return folder_ / step_name(step); }

bool RunFolder::is_empty() const { return step_folders(folder_).empty(); }

std::vector<int64_t> RunFolder::steps() const { return committed_steps(folder_); }

std::string RunFolder::verify(int64_t step) const { return find_damage(folder_of(step)); }

std::optional<int64_t> RunFolder::newest(int64_t below) const {
  if (is_empty()) return std::nullopt;
  const int64_t step = newest_intact(folder_, below);
  intact_.insert(step);
  return step;
}

/// A checkpoint is read once a process: it was hashed when it was saved, or when the run opened it.
bool RunFolder::is_intact(int64_t step) const {
  if (intact_.count(step) == 0 && verify(step).empty()) intact_.insert(step);
  return intact_.count(step) > 0;
}

std::optional<int64_t> RunFolder::best() const {
  std::error_code error;
  const fs::path target = fs::read_symlink(folder_ / "best", error);
  return error ? std::nullopt : parse_step_name(target.string());
}

void RunFolder::check_space(uint64_t bytes, int64_t keep_last) const {
  check_free_space(folder_, bytes, steps().size() > 1);
  const auto held = static_cast<int64_t>(steps().size());
  const int64_t more = keep_last == 0 ? 1 : std::max<int64_t>(keep_last + 1 - held, 1);
  const double needed = kSpaceReserve * static_cast<double>(bytes) * static_cast<double>(more);
  const std::optional<double> free = free_bytes(folder_);
  if (!free || *free >= needed) return;
  core::warn("checkpoints will not fit in ",
             folder_.string(),
             ": ",
             mebibytes(*free),
             " MiB are free, and with trainer.keep_last ",
             keep_last,
             " up to ",
             mebibytes(needed) + 1,
             " MiB more are needed during a save; free some space or lower it");
}

void RunFolder::save(const RunState& state, const ModelWriter& model, int64_t keep_last) {
  SGRPO_CHECK(state.step >= 0 && keep_last >= 0, "step ", state.step, ", keep_last ", keep_last);
  make_folder(folder_);
  check_free_space(folder_, model.bytes + bytes_of(state), steps().size() > 1);
  TemporaryFolder temporary(temporary_beside(folder_of(state.step)));
  std::vector<WrittenFile> files = model.write(temporary.path() / "model");
  for (WrittenFile& file : files) file.file = "model/" + file.file;
  if (!state.optimizer.empty()) {
    files.push_back(write_tensors(temporary.path(), kOptimizerFile, state.optimizer));
  }
  for (const auto& [name, tensors] : state.frozen)
    files.push_back(write_frozen(temporary.path(), name, tensors));
  files.push_back(write_state(temporary.path(), state));
  write_manifest(temporary.path(), state.step, files);
  if (const std::string damage = find_damage(temporary.path()); !damage.empty()) {
    throw core::RunError(core::str("checkpoint ",
                                   folder_of(state.step).string(),
                                   " differs when read back: ",
                                   damage,
                                   "; older ones are kept; check the disk"));
  }
  intact_.erase(state.step);
  // Of a replaced step, the temporary name then holds the old version; its destructor removes it.
  commit(temporary.path(), state.step);
  intact_.insert(state.step);
  point_latest(state.step);
  retain(state.step, keep_last);
}

void RunFolder::commit(const fs::path& temporary, int64_t step) {
  const fs::path target = folder_of(step);
  std::error_code error;
  if (fs::exists(target, error) && !exchange(temporary, target)) {
    remove_step(step);  // a file system that cannot exchange: the older steps still stand
  }
  if (!fs::exists(target, error)) rename_path(temporary, target);
  core::sync_folder(folder_);
}

void RunFolder::point(const std::string& link, int64_t step) const {
  const fs::path temporary = temporary_beside(folder_ / link);
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directory_symlink(step_name(step), temporary, error);
  if (error) {
    throw core::RunError(
        core::str("cannot link ", (folder_ / link).string(), ": ", error.message()));
  }
  rename_path(temporary, folder_ / link);
  core::sync_folder(folder_);
}

void RunFolder::point_latest(int64_t step) const {
  try {
    point("latest", step);
  } catch (const core::RunError& error) {
    core::warn(error.what(), " (the link is a convenience; the checkpoint itself is committed)");
  }
}

void RunFolder::mark_best(int64_t step) {
  std::error_code error;
  SGRPO_CHECK(fs::exists(folder_of(step) / kManifest, error), "step ", step, " is not committed");
  point("best", step);
}

void RunFolder::go_back(int64_t step) {
  const std::vector<int64_t> all = step_folders(folder_);
  if (all.empty() || all.back() <= step) return;
  for (const int64_t later : all) {
    if (later <= step || !is_of_newer_version(folder_of(later))) continue;
    throw core::NoCheckpointError(core::str("going back to step ",
                                            step,
                                            " would remove ",
                                            folder_of(later).string(),
                                            ": ",
                                            verify(later),
                                            "; choose another output_dir"));
  }
  // The intent first: a process that dies between two removals must not leave the newest step to be
  // one that was gone back behind.
  core::write_file_atomic(folder_ / kGoingBack, step_name(step) + "\n");
  remove_later(step);
  std::error_code error;
  fs::remove(folder_ / kGoingBack, error);
  core::sync_folder(folder_);
}

void RunFolder::remove_later(int64_t step) {
  std::vector<int64_t> later = step_folders(folder_);
  std::erase_if(later, [step](int64_t other) { return other <= step; });
  if (later.empty()) return;
  point_latest(step);
  const std::optional<int64_t> best_step = best();
  for (auto other = later.rbegin(); other != later.rend(); ++other) {
    core::warn("removing ", folder_of(*other).string(), ": the run went back to step ", step);
    std::error_code error;
    if (*other == best_step) fs::remove(folder_ / "best", error);
    remove_step(*other);
  }
}

void RunFolder::retain(int64_t saved, int64_t keep_last) {
  remove_later(saved);
  if (keep_last == 0) return;
  const std::optional<int64_t> best_step = best();
  const std::vector<int64_t> all = step_folders(folder_);
  int64_t num_kept = 1;  // `saved` itself
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    if (*step >= saved) continue;
    if (num_kept < keep_last && is_intact(*step)) {
      ++num_kept;
    } else if (*step != best_step && !is_of_newer_version(folder_of(*step))) {
      remove_step(*step);
    }
  }
}

void RunFolder::remove_step(int64_t step) {
  intact_.erase(step);
  // Renamed first: a removal that is interrupted must not leave half a step under a step's name.
  const fs::path target = folder_of(step);
  const fs::path doomed = temporary_beside(folder_ / core::str("removed-", step_name(step)));
  std::error_code error;
  fs::remove_all(doomed, error);
  rename_path(target, doomed);
  fs::remove_all(doomed, error);
  if (error) core::warn("cannot remove ", doomed.string(), ": ", error.message());
}

RunState RunFolder::load(int64_t step) const {
  const fs::path folder = folder_of(step);
  const std::string where = (folder / kStateFile).string();
  RunState state;
  state.state = core::parse_json(core::read_file(where), where);
  state.step = core::get_int(state.state, "step", where, 0);
  std::error_code error;
  if (!fs::exists(folder / kOptimizerFile, error)) return state;
  const SafetensorsFile file(folder / kOptimizerFile);
  for (const TensorEntry& entry : file.entries()) {
    state.optimizer.emplace_back(entry.name, file.read(entry.name));
  }
  return state;
}

}  // namespace sgrpo::checkpoint
