// What this machine offers: cores, memory, folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace sgrpo::cli {

/// Cores this process may use: its affinity mask, cut to the control group's quota.
int available_cores();

/// OMP_NUM_THREADS if it is a positive number, else available_cores() shared among so many
/// processes of the machine.
int default_threads(int64_t processes = 1);

/// Bytes, 0 where unknown. `limit` is the control group's.
struct Memory {
  uint64_t total = 0, available = 0, limit = 0;
};
Memory read_memory();

/// "AMD EPYC 7B13", or "" where unknown.
std::string cpu_name();

/// Whether files could be written beneath a folder that may not exist yet; and the free bytes
/// there.
struct FolderState {
  std::filesystem::path nearest;  // the folder itself, or its closest existing parent
  bool is_writable = false;
  uint64_t free_bytes = 0;
};
FolderState inspect_folder(const std::filesystem::path& folder);

}  // namespace sgrpo::cli
