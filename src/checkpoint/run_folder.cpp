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

WrittenFile write_optimizer(const fs::path& folder, NamedTensors tensors) {
  // Wide elements first: every tensor then starts at a multiple of its element size.
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  const std::string digest = write_safetensors(folder / kOptimizerFile, tensors);
  return {kOptimizerFile, fs::file_size(folder / kOptimizerFile), digest};
}

/// Swaps two folders, so that there is never a moment without either.
bool exchange(const fs::path& a, const fs::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

}  // namespace

RunFolder::RunFolder(const fs::path& run) : folder_(run / "checkpoints") {
  make_folder(folder_);
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    if (core::starts_with(entry.path().filename().string(), ".tmp-")) {
      leftovers.push_back(entry.path());
    }
  }
  for (const fs::path& leftover : leftovers) {
    std::error_code error;
    fs::remove_all(leftover, error);
    core::info("removed ", leftover.string(), ", left by an interrupted save");
  }
  for (const fs::path& folder : {run, run / "completions"}) core::remove_unfinished_files(folder);
}

fs::path RunFolder::folder_of(int64_t step) const { return folder_ / step_name(step); }

bool RunFolder::is_empty() const { return step_folders(folder_).empty(); }

std::vector<int64_t> RunFolder::steps() const { return committed_steps(folder_); }

std::string RunFolder::verify(int64_t step) const { return find_damage(folder_of(step)); }

std::optional<int64_t> RunFolder::newest(int64_t below) const {
  if (is_empty()) return std::nullopt;
  return newest_intact(folder_, below);
}

std::optional<int64_t> RunFolder::best() const {
  std::error_code error;
  const fs::path target = fs::read_symlink(folder_ / "best", error);
  return error ? std::nullopt : parse_step_name(target.string());
}

void RunFolder::check_free_space(uint64_t bytes) const {
  struct statvfs disk {};
  if (::statvfs(folder_.c_str(), &disk) != 0) return;  // writing will tell
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const double needed = kSpaceReserve * static_cast<double>(bytes);
  if (free >= needed) return;
  constexpr double kMiB = 1024.0 * 1024.0;
  throw core::RunError(core::str("not enough space to save in ",
                                 folder_.string(),
                                 ": ",
                                 static_cast<int64_t>(free / kMiB),
                                 " MiB are free, ",
                                 static_cast<int64_t>(needed / kMiB) + 1,
                                 " MiB are needed (1.2 x the checkpoint); free some space",
                                 steps().size() > 1 ? " or lower trainer.keep_last" : "",
                                 ", then run the same command again"));
}

void RunFolder::save(const RunState& state, const ModelWriter& model, int64_t keep_last) {
  SGRPO_CHECK(state.step >= 0 && keep_last >= 0, "step ", state.step, ", keep_last ", keep_last);
  check_free_space(model.bytes + bytes_of(state.optimizer));
  TemporaryFolder temporary(temporary_beside(folder_of(state.step)));
  std::vector<WrittenFile> files = model.write(temporary.path() / "model");
  for (WrittenFile& file : files) file.file = "model/" + file.file;
  if (!state.optimizer.empty()) {
    files.push_back(write_optimizer(temporary.path(), state.optimizer));
  }
  files.push_back(write_state(temporary.path(), state));
  write_manifest(temporary.path(), state.step, files);
  commit(temporary.path(), state.step);
  // Of a replaced step, the temporary name now holds the old version; its destructor removes it.
  try {
    point("latest", state.step);
  } catch (const core::RunError& error) {
    core::warn(error.what(), " (the link is a convenience; the checkpoint itself is committed)");
  }
  if (const std::string damage = verify(state.step); !damage.empty()) {
    throw core::RunError(core::str("checkpoint ",
                                   folder_of(state.step).string(),
                                   " differs when read back: ",
                                   damage,
                                   "; older ones are kept; check the disk"));
  }
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
  fs::remove(temporary, error);
  fs::create_directory_symlink(step_name(step), temporary, error);
  if (error) {
    throw core::RunError(
        core::str("cannot link ", (folder_ / link).string(), ": ", error.message()));
  }
  rename_path(temporary, folder_ / link);
  core::sync_folder(folder_);
}

void RunFolder::mark_best(int64_t step) {
  std::error_code error;
  SGRPO_CHECK(fs::exists(folder_of(step) / kManifest, error), "step ", step, " is not committed");
  point("best", step);
}

void RunFolder::retain(int64_t saved, int64_t keep_last) const {
  const std::vector<int64_t> all = steps();
  const std::optional<int64_t> best_step = best();
  const int64_t num_older =
      std::count_if(all.begin(), all.end(), [saved](int64_t step) { return step < saved; });
  // `saved` itself was verified, so that one intact step always remains.
  const int64_t num_removed = keep_last == 0 ? 0 : std::max<int64_t>(num_older - keep_last + 1, 0);
  int64_t index = 0;
  for (const int64_t step : all) {
    const bool is_old = index++ < num_removed;
    if (step == saved || (step < saved && (!is_old || step == best_step))) continue;
    if (step > saved) {
      core::warn("removing ", folder_of(step).string(), ": the run went back to step ", saved);
    }
    if (step == best_step) {
      std::error_code error;
      fs::remove(folder_ / "best", error);
    }
    remove_step(step);
  }
}

void RunFolder::remove_step(int64_t step) const {
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
