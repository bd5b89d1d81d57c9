#include <ATen/ATen.h>

#include <chrono>
#include <cstdlib>
#include <string_view>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {

void check_alone() {
  const auto count_of = [](const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return 1L;
    char* end = nullptr;
    const long count = std::strtol(value, &end, 10);
    if (*end == '\0' && count >= 1) return count;
    throw core::UserError(core::str("the environment says ",
                                    name,
                                    "=",
                                    core::printable(value, 60),
                                    ", expected a number of processes of 1 or more, or nothing"));
  };
  const bool is_slurm_step = std::getenv("SLURM_PROCID") != nullptr;
  for (const char* name : {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (name != std::string_view("WORLD_SIZE") && !is_slurm_step) continue;
    const long count = count_of(name);
    if (count <= 1) continue;
    throw core::UserError(core::str(name,
                                    " is ",
                                    count,
                                    " in the environment: this version trains in one process, and "
                                    "every one of them would do the same run; start it once "
                                    "(no torchrun, srun -n 1), or unset ",
                                    name));
  }
}

void honour_end_of_job(double seconds) {
  constexpr const char* kName = "SLURM_JOB_END_TIME";
  core::set_deadline(0.0);
  const char* value = std::getenv(kName);
  if (value == nullptr || *value == '\0') return;
  char* rest = nullptr;
  const double end = std::strtod(value, &rest);
  if (*rest != '\0' || !(end > 0.0 && end < 1e12)) {
    throw core::UserError(core::str("the environment says ",
                                    kName,
                                    "=",
                                    core::printable(value, 60),
                                    ", expected seconds since 1970, or nothing"));
  }
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (end <= now) {
    core::warn(kName, " is over already: it belongs to another job, and is not heeded");
    return;
  }
  core::set_deadline(end - seconds);
}

void set_deterministic(bool wanted) {
  // cuBLAS asks the environment for its workspace, which must be of a fixed size, when it starts.
  if (wanted) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicAlgorithms(wanted, /*warn_only=*/true);
  // Reading memory that nobody wrote is a bug that tests look for; filling it costs every pass.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

}  // namespace sgrpo::trainer
