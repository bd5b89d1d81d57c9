#include <ATen/ATen.h>

#include <chrono>
#include <cstdlib>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {

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
