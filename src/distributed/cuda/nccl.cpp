// Collectives of tensors on a GPU.
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "distributed/backends.h"

namespace sgrpo::distributed {
namespace {

/// Connected at once: a lazy communicator would connect inside the first backward pass, where ranks
/// arrive far apart. Errors are ours to handle: NCCL's own watchdog ends the process without a word
/// of which rank failed.
Backend make(const Store& store, int64_t rank, int64_t size, const at::Device& device) {
  ::setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", /*overwrite=*/0);
  ::setenv("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", "86400", /*overwrite=*/0);
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(24 * 30);
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      store, static_cast<int>(rank), static_cast<int>(size), options);
  backend->setBoundDeviceId(device);
  backend->eagerConnectSingleDevice(device);
  return backend;
}

const bool registered = DeviceBackendRegistry::add("nccl", make);

}  // namespace
}  // namespace sgrpo::distributed
