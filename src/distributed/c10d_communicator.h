// Collectives through torch's c10d: one sequence of calls for Gloo and NCCL by construction.
#pragma once

#include <memory>

#include "distributed/backends.h"
#include "distributed/liveness.h"
#include "sgrpo/distributed/communicator.h"

namespace sgrpo::distributed {

/// `device` takes tensors that do not lie in host memory; null where no rank has any.
std::unique_ptr<Communicator> make_c10d(Backend host,
                                        Backend device,
                                        std::unique_ptr<Liveness> liveness);

}  // namespace sgrpo::distributed
