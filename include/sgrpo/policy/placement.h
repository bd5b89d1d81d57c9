// Which device a policy computes on, and with which numbers: asked once, when it is opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/model/model.h"
#include "sgrpo/model/options.h"

namespace sgrpo::policy {

/// What this build, this machine and this process have of CUDA. Versions as CUDA counts them:
/// 13020 is 13.2.
struct CudaState {
  bool is_built = false;    // the build has CUDA
  int64_t num_devices = 0;  // that this process sees
  int64_t driver = 0;       // the newest version that the driver serves; 0 without a driver
  int64_t wanted = 0;       // the version that the build was made with
};

/// Asks the build and the machine.
CudaState read_cuda_state();

/// Why nothing can be computed on a GPU ("this machine has no NVIDIA driver"); empty if it can.
std::string why_no_cuda(const CudaState& cuda);

/// This process among those of its machine: LOCAL_RANK, else, inside a SLURM job step,
/// SLURM_LOCALID, else nothing. Throws core::UserError for what is no number.
std::optional<int64_t> read_local_rank();

/// Device and dtype of `options`: `auto` takes the GPU of this process's local rank where there is
/// one; its numbers are bfloat16 there and float32 on a CPU. A process that sees one GPU takes
/// that. Throws core::UserError where `device: cuda` finds none, and for a local rank beyond the
/// last GPU.
model::Placement resolve_placement(const model::ModelOptions& options,
                                   const CudaState& cuda,
                                   std::optional<int64_t> local_rank);
/// The same, of this machine and process.
model::Placement resolve_placement(const model::ModelOptions& options);

/// For plans: a GPU that `device: cuda` asks for need not be in this machine.
model::Placement expected_placement(const model::ModelOptions& options);

/// float32 or bfloat16.
std::string dtype_name(const model::Placement& placement);

}  // namespace sgrpo::policy
