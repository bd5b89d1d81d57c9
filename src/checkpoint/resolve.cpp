#include "checkpoint/resolve.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "checkpoint/manifest.h"
#include "sgrpo/checkpoint/adapter_folder.h"
#include "sgrpo/checkpoint/run_folder.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/error.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool has_steps(const fs::path& folder) { return !committed_steps(folder).empty(); }

/// model/ of one of our checkpoints, once its files match their checksums.
Resolved model_of_step(const fs::path& folder) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);  // `latest` is a link to step-000100
  const fs::path step = error ? folder : real;
  if (!is_file(step / kManifest)) return {step / "model", step};
  if (const std::string damage = find_damage(step, "model/"); !damage.empty()) {
    throw FormatError(core::str("checkpoint ",
                                step.string(),
                                " is damaged: ",
                                damage,
                                "; give the run folder to get its newest intact checkpoint"));
  }
  return {step / "model", step};
}

}  // namespace

Resolved resolve_model_folder(const fs::path& path) {
  if (is_file(path / "config.json") || is_adapter_folder(path)) return {path, {}};
  if (is_file(path / "model" / "config.json") || is_file(path / kManifest)) {
    return model_of_step(path);
  }
  for (const fs::path& checkpoints : {path / "checkpoints", path}) {
    const bool is_run = checkpoints != path && is_folder(checkpoints);
    if (is_run || has_steps(checkpoints)) {
      const fs::path step = checkpoints / step_name(newest_intact(checkpoints));
      return {step / "model", step};
    }
  }
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw core::UserError(core::str(
        path.string(),
        ": no such folder; expected a model folder on this machine (names on the Hugging Face Hub "
        "are not downloaded: fetch them first with `hf download NAME --local-dir DIR`)"));
  }
  if (!is_folder(path)) {
    throw core::UserError(core::str(
        path.string(), " is not a folder; give the folder with config.json and *.safetensors"));
  }
  throw core::UserError(core::str(path.string(),
                                  " is not a checkpoint: it has neither config.json (a model "
                                  "folder), nor adapter_config.json (an adapter), nor "
                                  "model/config.json (a checkpoint of ours), nor "
                                  "checkpoints/ (a run's folder)"));
}

bool is_foreign_weights(const fs::path& file) {
  constexpr std::array<std::string_view, 10> kExtensions = {
      ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".pkl", ".pickle"};
  const std::string extension = file.extension().string();
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

}  // namespace sgrpo::checkpoint
