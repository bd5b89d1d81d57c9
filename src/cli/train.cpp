// sgrpo train, sgrpo sft: a run from a configuration.
#include "sgrpo/cli/command.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::cli {
namespace {

int run_task(const Invocation& invocation, trainer::Task task) {
  trainer::RunConfig config = trainer::load_run_config(invocation.config, invocation.overrides);
  config::require(config, {"model.path", "data.train", "output_dir"});
  trainer::Trainer(std::move(config), task).run();
  return 0;
}

struct Train {
  static constexpr const char* kSummary = "GRPO, S-GRPO or any other estimator";
  static constexpr bool kTakesConfig = true;
  int run(const Invocation& invocation) {
    return run_task(invocation, trainer::Task::kPolicyGradient);
  }
};

struct Sft {
  static constexpr const char* kSummary = "supervised fine-tuning, normalised over all loss tokens";
  static constexpr bool kTakesConfig = true;
  int run(const Invocation& invocation) { return run_task(invocation, trainer::Task::kSft); }
};

SGRPO_REGISTER_COMMAND("train", Train);
SGRPO_REGISTER_COMMAND("sft", Sft);

}  // namespace
}  // namespace sgrpo::cli
