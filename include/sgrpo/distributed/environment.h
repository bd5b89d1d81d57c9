// Which of a run's processes this one is.
#pragma once

#include <cstdint>
#include <string>

namespace sgrpo::distributed {

struct Environment {
  int64_t rank = 0, size = 1;
  int64_t local_size = 1;  // processes of this machine
  std::string address;     // where rank 0 is
  int port = 0;
  std::string token;  // of the run, "" = rank 0 makes one
};

/// RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT as launchers set them, else what
/// Slurm says of a job step, else one process; SGRPO_RUN_TOKEN. Throws core::UserError naming the
/// variable that is malformed or missing.
Environment read_environment();

}  // namespace sgrpo::distributed
