// torch's collectives: one backend for tensors in host memory, one for those on a GPU.
#pragma once

#include <string>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "sgrpo/core/registry.h"

namespace sgrpo::distributed {

using Store = c10::intrusive_ptr<c10d::Store>;
using Backend = c10::intrusive_ptr<c10d::Backend>;

/// Gloo over TCP, on the interface with this address. It never gives up waiting by itself: who
/// waits asks `Liveness`.
Backend make_gloo(const Store& store, int64_t rank, int64_t size, const std::string& address);

/// What a build has for tensors on a GPU, by name: "nccl" where it has CUDA.
using DeviceBackendFactory = Backend (*)(const Store& store,
                                         int64_t rank,
                                         int64_t size,
                                         const at::Device& device);
struct DeviceBackendTag {};
using DeviceBackendRegistry = core::Registry<DeviceBackendFactory, DeviceBackendTag>;

}  // namespace sgrpo::distributed
