// Threads of a block as fibers: stacks, and the switch between them. For x86-64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sgrpo::testing::emulation {

extern "C" {
/// Leaves the running stack, keeping its pointer in *save, and goes on where `load` was left.
void sgrpo_switch_stack(void** save, void* load);
/// The second half alone: whoever runs is abandoned.
void sgrpo_load_stack(void* load);
}

/// A stack a thread, each above a page that nobody may touch.
class FiberStacks {
 public:
  FiberStacks();
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  /// A stack pointer that, once switched to, calls `entry`, which never returns.
  void* prepare(size_t index, void (*entry)());
  uintptr_t low(size_t index) const;
  static constexpr size_t kBytes = 64 * 1024;

 private:
  char* memory_;
};

/// What AddressSanitizer, where it runs, must hear of a switch: the stack that is left and how much
/// there is of the next one.
struct StackNotice {
  void* own = nullptr;
  const void* next_bottom = nullptr;
  size_t next_bytes = 0;
};
void announce_switch(StackNotice& notice, bool comes_back);
/// On arrival: `notice` of the stack that goes on; the bounds of the one left go to `from`.
void announce_arrival(const StackNotice& notice, StackNotice* from);

}  // namespace sgrpo::testing::emulation
