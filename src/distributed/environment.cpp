#include "sgrpo/distributed/environment.h"

#include <cstdlib>
#include <limits>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::distributed {
namespace {

/// The value of a variable; "" where it is not set.
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int64_t parse(const char* name, const std::string& text, int64_t low, int64_t high) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (end != text.c_str() && *end == '\0' && value >= low && value <= high) return value;
  throw core::UserError(
      core::str("the environment says ",
                name,
                "=",
                core::printable(text, 60),
                ", expected a whole number of ",
                low,
                high == std::numeric_limits<int32_t>::max() ? " or more" : core::str(" to ", high),
                ", or nothing"));
}

int64_t number(const char* name, int64_t otherwise, int64_t low, int64_t high) {
  const std::string text = variable(name);
  return text.empty() ? otherwise : parse(name, text, low, high);
}

constexpr int64_t kMany = std::numeric_limits<int32_t>::max();

/// "2(x3),1": processes of each machine, of the machine with this number.
int64_t tasks_of_node(const char* name, const std::string& text, int64_t node) {
  for (const std::string& part : core::split(text, ',')) {
    const size_t open = part.find("(x");
    const int64_t tasks = parse(name, part.substr(0, open), 1, kMany);
    const int64_t nodes =
        open == std::string::npos
            ? 1
            : parse(name, part.substr(open + 2, part.size() - open - 3), 1, kMany);
    if (node < nodes) return tasks;
    node -= nodes;
  }
  return 1;
}

/// The names of what says where a process stands.
struct Names {
  const char *rank, *size;
};

void read_place(const Names& names, Environment& environment) {
  environment.size = number(names.size, 1, 1, kMany);
  if (environment.size == 1) return;
  if (variable(names.rank).empty()) {
    throw core::UserError(core::str("the environment says ",
                                    names.size,
                                    "=",
                                    environment.size,
                                    " but not ",
                                    names.rank,
                                    ": expected both (scripts/launch.sh, torchrun and srun set "
                                    "them), or unset ",
                                    names.size));
  }
  environment.rank = number(names.rank, 0, 0, environment.size - 1);
}

void read_meeting_point(bool is_slurm_step, Environment& environment) {
  environment.address = variable("MASTER_ADDR");
  environment.port = static_cast<int>(number("MASTER_PORT", 0, 1, 65535));
  if (is_slurm_step && environment.address.empty())
    environment.address = variable("SLURM_LAUNCH_NODE_IPADDR");
  if (is_slurm_step && environment.port == 0)
    environment.port = static_cast<int>(20000 + number("SLURM_JOB_ID", 0, 0, kMany) % 20000);
  if (!environment.address.empty() && environment.port != 0) return;
  const bool lacks_address = environment.address.empty();
  throw core::UserError(core::str("this is rank ",
                                  environment.rank,
                                  " of ",
                                  environment.size,
                                  ", but the environment does not say ",
                                  lacks_address ? "MASTER_ADDR, the address of rank 0's machine"
                                                : "MASTER_PORT, a free port of rank 0's machine",
                                  " (scripts/launch.sh and torchrun set it)"));
}

}  // namespace

Environment read_environment() {
  Environment environment;
  const bool is_slurm_step = variable("WORLD_SIZE").empty() && !variable("SLURM_PROCID").empty();
  read_place(
      is_slurm_step ? Names{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"} : Names{"RANK", "WORLD_SIZE"},
      environment);
  if (environment.size == 1) return environment;
  if (is_slurm_step) {
    constexpr const char* kTasks = "SLURM_STEP_TASKS_PER_NODE";
    const std::string tasks = variable(kTasks);
    if (!tasks.empty())
      environment.local_size = tasks_of_node(kTasks, tasks, number("SLURM_NODEID", 0, 0, kMany));
  } else {
    environment.local_size = number("LOCAL_WORLD_SIZE", 1, 1, environment.size);
  }
  read_meeting_point(is_slurm_step, environment);
  environment.token = variable("SGRPO_RUN_TOKEN");
  return environment;
}

}  // namespace sgrpo::distributed
