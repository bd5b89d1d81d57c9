#include "sgrpo/policy/placement.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>

#include <cstdlib>

#include "sgrpo/core/error.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"

namespace sgrpo::policy {
namespace {

/// The newest CUDA version that the installed driver serves; 0 without a driver. The driver says so
/// itself: LibTorch only counts devices, which are 0 whatever is wrong.
int64_t read_driver_version() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  int version = 0;
  using Query = int (*)(int*);
  const auto query = reinterpret_cast<Query>(::dlsym(library, "cuDriverGetVersion"));
  const bool is_known = query != nullptr && query(&version) == 0;
  ::dlclose(library);
  return is_known ? version : 0;
}

std::string version_text(int64_t version) {
  return core::str(version / 1000, ".", version % 1000 / 10);
}

/// The GPU of this process.
int64_t device_index(const CudaState& cuda, std::optional<int64_t> local_rank) {
  if (cuda.num_devices == 1 || !local_rank) return 0;
  if (*local_rank < cuda.num_devices) return *local_rank;
  throw core::UserError(
      core::str("this process is number ",
                *local_rank,
                " of its machine (LOCAL_RANK or SLURM_LOCALID, from 0), but sees ",
                cuda.num_devices,
                " GPUs: start one process a GPU, or set model.device=cpu"));
}

}  // namespace

CudaState read_cuda_state() {
  CudaState cuda;
  cuda.is_built = at::hasCUDA();
  if (!cuda.is_built) return cuda;
  cuda.driver = read_driver_version();
  cuda.wanted = at::detail::getCUDAHooks().versionCUDART();
  // Counting devices below a driver that is too old warns in LibTorch's words.
  if (cuda.driver != 0 && cuda.driver / 1000 >= cuda.wanted / 1000)
    cuda.num_devices = at::detail::getCUDAHooks().deviceCount();
  return cuda;
}

// A driver serves every minor version of its major one.
std::string why_no_cuda(const CudaState& cuda) {
  if (!cuda.is_built) return "this build has no CUDA (the preset `cuda` has)";
  if (cuda.driver == 0) return "this machine has no NVIDIA driver";
  if (cuda.driver / 1000 < cuda.wanted / 1000) {
    return core::str("the NVIDIA driver serves CUDA up to ",
                     version_text(cuda.driver),
                     ", and this build needs ",
                     version_text(cuda.wanted),
                     " (update the driver)");
  }
  if (cuda.num_devices == 0)
    return "this process sees no NVIDIA GPU (is CUDA_VISIBLE_DEVICES set to something else?)";
  return "";
}

std::optional<int64_t> read_local_rank() {
  const bool is_slurm_step = std::getenv("SLURM_STEP_NUM_TASKS") != nullptr;
  for (const char* name : {"LOCAL_RANK", "SLURM_LOCALID"}) {
    if (name == std::string_view("SLURM_LOCALID") && !is_slurm_step) continue;
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    char* end = nullptr;
    const int64_t rank = std::strtoll(value, &end, 10);
    if (*end == '\0' && rank >= 0) return rank;
    throw core::UserError(core::str("the environment says ",
                                    name,
                                    "=",
                                    core::printable(value, 60),
                                    ", expected this process's number on its machine, 0 or more"));
  }
  return std::nullopt;
}

model::Placement resolve_placement(const model::ModelOptions& options,
                                   const CudaState& cuda,
                                   std::optional<int64_t> local_rank) {
  const std::string why = why_no_cuda(cuda);
  if (options.device == model::DeviceKind::kCuda && !why.empty()) {
    throw core::UserError(
        core::str("model.device is cuda, but ", why, "; model.device=auto or cpu takes the CPU"));
  }
  const bool uses_cuda = options.device != model::DeviceKind::kCpu && why.empty();
  model::Placement placement;
  if (uses_cuda)
    placement.device =
        at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device_index(cuda, local_rank)));
  const bool is_narrow = options.dtype == model::Dtype::kBfloat16 ||
                         (options.dtype == model::Dtype::kAuto && uses_cuda);
  placement.dtype = is_narrow ? at::kBFloat16 : at::kFloat;
  return placement;
}

model::Placement resolve_placement(const model::ModelOptions& options) {
  return resolve_placement(options, read_cuda_state(), read_local_rank());
}

model::Placement expected_placement(const model::ModelOptions& options) {
  const CudaState here = read_cuda_state();
  const CudaState elsewhere = {.is_built = true, .num_devices = 1, .driver = 1, .wanted = 1};
  return resolve_placement(
      options, options.device == model::DeviceKind::kCuda ? elsewhere : here, std::nullopt);
}

std::string dtype_name(const model::Placement& placement) {
  return std::string(core::name_of(placement.dtype == at::kBFloat16 ? model::Dtype::kBfloat16
                                                                    : model::Dtype::kFloat32));
}

}  // namespace sgrpo::policy
