// The scheduler: runs the blocks of a launch one after the other, a block's warps in turn.
#pragma once

#include <cuda_runtime_api.h>

#include <random>
#include <string>
#include <vector>

#include "testing/cuda_emulation.h"
#include "testing/emulation/fibers.h"
#include "testing/emulation/memory.h"

namespace sgrpo::testing::emulation {

/// The kernel call of a launch, and where its parameters lie.
struct Call {
  void (*run)(const void* data) = nullptr;
  const void* data = nullptr;
  size_t bytes = 0;
};

class Machine {
 public:
  static Machine& get();

  Schedule schedule = Schedule::kAscending;

  cudaError_t launch(const cudaLaunchConfig_t& config, const Call& call);

  // What follows is called by device code.
  bool runs_device_code() const { return current_ != nullptr; }
  void block_barrier(const char* file, int line);
  uint64_t shuffle_xor(unsigned mask, uint64_t value, int distance);
  void* shared(const void* site, size_t element, size_t count);
  void access(const Access& access);
  /// Ends the launch with an EmulationError; the thread that calls is abandoned, and no destructor
  /// of it runs.
  [[noreturn]] void fail(const char* what);
  /// As `fail`, for a signal handler: the stack to go on with instead of the thread's.
  void* fail_by_signal(const void* address);
  void run_thread();

 private:
  enum class State : uint8_t { kReady, kAtBarrier, kAtShuffle, kDone };
  struct Thread {
    State state = State::kReady;
    void* stack_pointer = nullptr;
    StackNotice notice;
    const char* file = nullptr;  // of the barrier it waits at
    int line = 0;
    unsigned mask = 0;  // of the shuffle it waits at
    int distance = 0;
    uint64_t value = 0;  // what it gives, then what it gets
  };
  struct SharedArray {
    const void* site;
    void* data;
  };

  Machine();
  std::vector<uint32_t> order(uint32_t count);
  void run_block(uint32_t block);
  void start_threads();
  bool run_warp(uint32_t warp);
  bool finish_shuffle(uint32_t warp);
  void release_barrier();
  void resume(uint32_t thread);
  void wait(State state);
  [[noreturn]] void leave_for_good();
  std::string where(uint32_t thread) const;
  std::string describe(uint32_t thread) const;
  [[noreturn]] void explain_standstill() const;
  Moment now() const;
  uint32_t index(const Thread* thread) const {
    return static_cast<uint32_t>(thread - threads_.data());
  }

  FiberStacks stacks_;
  DeviceMemory shared_memory_;
  Call call_;
  std::vector<Thread> threads_;
  Thread* current_ = nullptr;
  void* scheduler_ = nullptr;
  StackNotice scheduler_notice_, notice_of_scheduler_;
  std::string fault_;
  std::vector<SharedArray> shared_;
  size_t shared_bytes_ = 0, shared_end_ = 0;
  std::vector<uint32_t> meetings_;  // of every warp
  uint32_t block_ = 0, barriers_ = 0;
  uint64_t launches_ = 0;
  std::mt19937 random_{1};
};

}  // namespace sgrpo::testing::emulation
