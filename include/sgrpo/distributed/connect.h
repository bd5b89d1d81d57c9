// From separate processes to one run.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include <ATen/core/Tensor.h>

#include "sgrpo/core/json.h"
#include "sgrpo/distributed/communicator.h"
#include "sgrpo/distributed/environment.h"

namespace sgrpo::distributed {

struct Meeting {
  std::filesystem::path folder;           // of the run; all ranks must see the same one
  core::Json settings;                    // {key: value}: what must be the same on all ranks
  double timeout_s = 120.0;               // without progress a rank hangs
  std::optional<at::Device> device = {};  // where tensors lie beside host memory: NCCL's
  std::chrono::milliseconds patience = std::chrono::seconds(60);
};

/// Meets the other ranks at environment.address and .port. Keys lie below a token, so that another
/// run's process cannot be taken for one of this run: environment.token, else a random one that
/// rank 0 writes to FOLDER/run/token. It is no defence against an attacker inside the network.
/// Throws core::UserError where the port is taken, ranks do not come or cannot be reached within
/// `patience`, the folder is not shared, or settings differ.
std::unique_ptr<Communicator> connect(const Environment& environment, const Meeting& meeting);

/// Throws core::UserError naming the first key in which `settings`, one object a rank, differ from
/// rank 0's. `names` says who each rank is.
void check_same_settings(const std::vector<core::Json>& settings,
                         const std::vector<std::string>& names);

}  // namespace sgrpo::distributed
