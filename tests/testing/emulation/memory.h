// Device memory of the emulation: which bytes exist, who touched them last, what was moved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "testing/cuda_emulation.h"

namespace sgrpo::testing::emulation {

constexpr uint32_t kBlockThreads = 1024;  // the most that a block may have
constexpr uint32_t kWarp = 32;

/// When a thread did something: barriers of its block and meetings of its warp count the time.
struct Moment {
  uint64_t launch = 0;
  uint32_t thread = 0;  // block * kBlockThreads + thread
  uint32_t barriers = 0, meetings = 0;

  bool same_block(const Moment& other) const {
    return launch == other.launch && thread / kBlockThreads == other.thread / kBlockThreads;
  }
  bool same_warp(const Moment& other) const {
    return launch == other.launch && thread / kWarp == other.thread / kWarp;
  }
  /// Whether what happened at `earlier` is sure to be over.
  bool follows(const Moment& earlier) const {
    if (earlier.launch != launch || earlier.thread == thread) return true;
    if (!same_block(earlier)) return false;
    return earlier.barriers != barriers || (same_warp(earlier) && earlier.meetings != meetings);
  }
};

/// Who else than the last reader may still be reading.
enum class OtherReaders : uint8_t { kNone, kOfTheWarp, kAny };

/// One element's history within the current launch.
struct Cell {
  Moment written, read;
  OtherReaders others = OtherReaders::kNone;
};

/// One buffer.
struct Region {
  uintptr_t begin = 0, end = 0;
  size_t element = 1;
  bool is_shared = false;
  std::vector<Cell> cells = std::vector<Cell>((end - begin + element - 1) / element);
};

struct Access {
  uintptr_t begin = 0;
  size_t bytes = 0;
  bool is_write = false;
  bool must_align = true;
  const void* instruction = nullptr;
};

/// All buffers, and the rules of accesses to them.
class Memory {
 public:
  void add(Region region) { regions_.insert_or_assign(region.begin, std::move(region)); }
  void remove(uintptr_t begin) { regions_.erase(begin); }
  /// Shared memory lives as long as its block.
  void remove_shared();

  /// What is wrong with an access, if anything is.
  std::optional<std::string> check(const Access& access, const Moment& now);

  void start_counting();
  Traffic stop_counting();
  /// Adds up what the warps of a block that has ended touched.
  void finish_block();

 private:
  struct Touch {
    uint32_t warp = 0;
    const void* instruction = nullptr;
    uint32_t turn = 0;  // how often the lane had been at this instruction before
    uintptr_t sector = 0;
    auto operator<=>(const Touch&) const = default;
  };

  std::string place(const Access& access) const;
  std::optional<std::string> touch(Region& region, const Access& access, const Moment& now);
  void count(const Access& access, uint32_t thread);

  std::map<uintptr_t, Region> regions_;
  bool counts_ = false;
  Traffic traffic_;
  std::vector<Touch> touches_;
  std::map<std::pair<uint32_t, const void*>, uint32_t> turns_;
};

/// All device memory.
Memory& memory();

/// Forbids, allows access in AddressSanitizer's books, where it runs.
void poison(void* data, size_t bytes);
void unpoison(void* data, size_t bytes);

}  // namespace sgrpo::testing::emulation
