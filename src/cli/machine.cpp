#include "cli/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "sgrpo/core/text.h"

namespace sgrpo::cli {
namespace {

/// The first line of a small file of the kernel, or "".
std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The control group's processor quota in cores, or 0 for none (version 2, then 1).
double quota_cores() {
  double quota = 0, period = 0;
  std::istringstream v2(first_line("/sys/fs/cgroup/cpu.max"));  // "200000 100000" or "max 100000"
  if (v2 >> quota >> period && period > 0) return quota / period;
  std::istringstream v1_quota(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  std::istringstream v1_period(first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return 0;
}

/// A field of /proc/meminfo in bytes.
uint64_t meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (core::starts_with(line, key + ":")) {
      return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
    }
  }
  return 0;
}

}  // namespace

int available_cores() {
  cpu_set_t mask;
  int cores = ::sched_getaffinity(0, sizeof(mask), &mask) == 0
                  ? CPU_COUNT(&mask)
                  : static_cast<int>(std::thread::hardware_concurrency());
  if (const double quota = quota_cores(); quota > 0) {
    cores = std::min(cores, static_cast<int>(std::ceil(quota)));
  }
  return std::max(cores, 1);
}

int default_threads(int64_t processes) {
  const char* variable = std::getenv("OMP_NUM_THREADS");
  const int64_t wanted = variable == nullptr ? 0 : std::strtoll(variable, nullptr, 10);
  return wanted >= 1 && wanted <= 4096
             ? static_cast<int>(wanted)
             : std::max(available_cores() / static_cast<int>(processes), 1);
}

Memory read_memory() {
  Memory memory{.total = meminfo("MemTotal"), .available = meminfo("MemAvailable")};
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const uint64_t limit = std::strtoull(first_line(path).c_str(), nullptr, 10);  // "max" gives 0
    if (limit > 0 && limit < memory.total) memory.limit = limit;
  }
  return memory;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!core::starts_with(line, "model name")) continue;
    const size_t colon = line.find(':');
    return colon == std::string::npos ? "" : std::string(core::trim(line.substr(colon + 1)));
  }
  return "";
}

FolderState inspect_folder(const std::filesystem::path& folder) {
  FolderState state;
  std::error_code error;
  state.nearest = std::filesystem::absolute(folder, error).lexically_normal();
  while (!std::filesystem::exists(state.nearest, error) && state.nearest.has_relative_path()) {
    state.nearest = state.nearest.parent_path();
  }
  state.is_writable = std::filesystem::is_directory(state.nearest, error) &&
                      ::access(state.nearest.c_str(), W_OK | X_OK) == 0;
  const auto space = std::filesystem::space(state.nearest, error);
  if (!error) state.free_bytes = space.available;
  return state;
}

}  // namespace sgrpo::cli
