#include <ATen/ATen.h>

#include <cstdlib>
#include <string_view>

#include "trainer/stages.h"

namespace sgrpo::trainer {

void check_alone() {
  const auto count_of = [](const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? 1L : std::strtol(value, nullptr, 10);
  };
  const bool is_slurm_step = std::getenv("SLURM_PROCID") != nullptr;
  for (const char* name : {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const long count = count_of(name);
    if (count <= 1 || (name != std::string_view("WORLD_SIZE") && !is_slurm_step)) continue;
    throw core::UserError(core::str(name,
                                    " is ",
                                    count,
                                    " in the environment: this version trains in one process, and "
                                    "every one of them would do the same run; start it once "
                                    "(no torchrun, srun -n 1), or unset ",
                                    name));
  }
}

void set_deterministic(bool wanted) {
  // cuBLAS asks the environment for its workspace, which must be of a fixed size, when it starts.
  if (wanted) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicAlgorithms(wanted, /*warn_only=*/true);
  // Reading memory that nobody wrote is a bug that tests look for; filling it costs every pass.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

}  // namespace sgrpo::trainer
