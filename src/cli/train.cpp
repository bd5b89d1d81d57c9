// sgrpo train, sgrpo sft: a run from a configuration.
#include <filesystem>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/file.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::cli {
namespace {

/// Inputs that do not exist end the command before it makes an output folder: in the wrong working
/// directory nothing is left behind.
void check_inputs(const trainer::RunConfig& config) {
  namespace fs = std::filesystem;
  if (!fs::exists(config.model.path)) checkpoint::ModelFolder{config.model.path};
  for (const data::TrainEntry& entry : data::train_entries(config.data.train)) {
    if (!fs::exists(entry.path)) core::read_file(entry.path);
  }
  for (const auto& [split, path] : config.data.eval) {
    if (!fs::exists(path)) core::read_file(path);
  }
}

/// The flags of both commands.
struct TaskFlags {
  std::string allow_change;

  template <class V>
  void visit_fields(V& visit) {
    visit("allow_change",
          allow_change,
          config::FieldInfo{.help = "keys that may differ from the checkpoint's although the run "
                                    "then repeats or skips rows, or learns from something else",
                            .unit = "KEY,..."});
  }

  int run_task(const Invocation& invocation, trainer::Task task) const {
    trainer::RunConfig config = trainer::load_run_config(invocation.config, invocation.overrides);
    config::require(config, {"model.path", "data.train", "output_dir"});
    check_inputs(config);
    trainer::Trainer(std::move(config), task, allow_change).run();
    return 0;
  }
};

struct Train : TaskFlags {
  static constexpr const char* kSummary = "GRPO, S-GRPO or any other estimator";
  static constexpr bool kTakesConfig = true;
  int run(const Invocation& invocation) {
    return run_task(invocation, trainer::Task::kPolicyGradient);
  }
};

struct Sft : TaskFlags {
  static constexpr const char* kSummary = "supervised fine-tuning, normalised over all loss tokens";
  static constexpr bool kTakesConfig = true;
  int run(const Invocation& invocation) { return run_task(invocation, trainer::Task::kSft); }
};

SGRPO_REGISTER_COMMAND("train", Train);
SGRPO_REGISTER_COMMAND("sft", Sft);

}  // namespace
}  // namespace sgrpo::cli
