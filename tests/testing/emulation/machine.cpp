#include "testing/emulation/machine.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <sstream>

EmulatedIndices emulated_indices;

namespace sgrpo::testing::emulation {
namespace {

constexpr size_t kSharedBytes = 48 * 1024;  // the most that nvcc lets a kernel declare
constexpr size_t kSharedGap = 256;
constexpr size_t kSharedArena = 4 * kSharedBytes;  // arrays with gaps between them

unsigned count_of(const dim3& size) { return size.x * size.y * size.z; }

uint3 index_in(const dim3& size, unsigned linear) {
  return {linear % size.x, linear / size.x % size.y, linear / (size.x * size.y)};
}

void enter_thread() { Machine::get().run_thread(); }

}  // namespace

Machine& Machine::get() {
  static Machine machine;
  return machine;
}

Machine::Machine() : shared_memory_(1, kSharedArena) {
  memory().remove(
      reinterpret_cast<uintptr_t>(shared_memory_.data()));  // array by array, in shared()
}

std::vector<uint32_t> Machine::order(uint32_t count) {
  std::vector<uint32_t> result(count);
  std::iota(result.begin(), result.end(), 0u);
  if (schedule == Schedule::kDescending) std::reverse(result.begin(), result.end());
  if (schedule == Schedule::kShuffled) std::shuffle(result.begin(), result.end(), random_);
  return result;
}

cudaError_t Machine::launch(const cudaLaunchConfig_t& config, const Call& call) {
  const unsigned blocks = count_of(config.gridDim), threads = count_of(config.blockDim);
  if (blocks == 0 || threads == 0 || threads > kBlockThreads) return cudaErrorInvalidConfiguration;
  if (blocks > (1u << 22)) throw EmulationError("more blocks than the emulation tells apart");
  emulated_indices.blocks = config.gridDim;
  emulated_indices.threads = config.blockDim;
  call_ = call;
  ++launches_;
  threads_.assign(threads, {});
  for (const uint32_t block : order(blocks)) run_block(block);
  return cudaSuccess;
}

void Machine::run_block(uint32_t block) {
  block_ = block;
  barriers_ = 0;
  emulated_indices.block = index_in(emulated_indices.blocks, block);
  start_threads();
  const auto warps = static_cast<uint32_t>(meetings_.size());
  while (true) {
    for (bool moved = true; moved;) {
      moved = false;
      for (const uint32_t warp : order(warps)) moved = run_warp(warp) || moved;
    }
    if (std::all_of(threads_.begin(), threads_.end(), [](const Thread& thread) {
          return thread.state == State::kDone;
        }))
      break;
    release_barrier();
  }
  memory().remove_shared();
  memory().finish_block();
}

void Machine::start_threads() {
  memory().remove_shared();
  shared_.clear();
  shared_bytes_ = 0;
  shared_end_ = kSharedGap;
  // All ones is NaN in every floating-point type, and no index.
  unpoison(shared_memory_.data(), kSharedArena);
  std::memset(shared_memory_.data(), 0xFF, kSharedArena);
  poison(shared_memory_.data(), kSharedArena);
  meetings_.assign((threads_.size() + kWarp - 1) / kWarp, 0);
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i] = {};
    threads_[i].stack_pointer = stacks_.prepare(i, enter_thread);
  }
}

/// Runs a warp until none of its lanes can go on alone; whether any did.
bool Machine::run_warp(uint32_t warp) {
  const uint32_t first = warp * kWarp;
  const auto count = std::min(kWarp, static_cast<uint32_t>(threads_.size()) - first);
  const std::vector<uint32_t> lanes = order(count);
  bool moved = false;
  do {
    for (const uint32_t lane : lanes) {
      if (threads_[first + lane].state != State::kReady) continue;
      moved = true;
      resume(first + lane);
    }
  } while (finish_shuffle(warp));
  return moved;
}

/// Exchanges values if all lanes of the mask have come.
bool Machine::finish_shuffle(uint32_t warp) {
  const uint32_t first = warp * kWarp;
  const auto count = std::min(kWarp, static_cast<uint32_t>(threads_.size()) - first);
  const Thread* any = nullptr;
  unsigned arrived = 0;
  for (uint32_t lane = 0; lane < count; ++lane) {
    const Thread& thread = threads_[first + lane];
    if (thread.state != State::kAtShuffle) continue;
    if (any != nullptr && (any->mask != thread.mask || any->distance != thread.distance))
      return false;
    any = &thread;
    arrived |= 1u << lane;
  }
  if (any == nullptr || arrived != any->mask) return false;
  uint64_t given[kWarp] = {};
  for (uint32_t lane = 0; lane < count; ++lane) given[lane] = threads_[first + lane].value;
  const auto distance = static_cast<uint32_t>(any->distance);
  for (uint32_t lane = 0; lane < count; ++lane) {
    if ((arrived >> lane & 1u) == 0) continue;
    const uint32_t source = lane ^ distance;
    if (source >= kWarp || (arrived >> source & 1u) == 0)
      throw EmulationError(where(first + lane) + "shuffles with lane " + std::to_string(source) +
                           ", which takes no part");
    threads_[first + lane].value = given[source];
    threads_[first + lane].state = State::kReady;
  }
  ++meetings_[warp];
  return true;
}

void Machine::release_barrier() {
  const Thread& first = threads_.front();
  for (const Thread& thread : threads_) {
    if (thread.state != State::kAtBarrier || thread.line != first.line ||
        std::strcmp(thread.file, first.file) != 0)
      explain_standstill();
  }
  for (Thread& thread : threads_) thread.state = State::kReady;
  ++barriers_;
}

std::string Machine::where(uint32_t thread) const {
  return "block " + std::to_string(block_) + " thread " + std::to_string(thread) + ": ";
}

std::string Machine::describe(uint32_t thread) const {
  const Thread& t = threads_[thread];
  std::ostringstream out;
  out << "thread " << thread;
  if (t.state == State::kDone) out << " has left the kernel";
  if (t.state == State::kAtShuffle) out << " waits at a shuffle of lanes 0x" << std::hex << t.mask;
  if (t.state == State::kAtBarrier)
    out << " waits at the barrier of line " << t.line << " of "
        << std::string(t.file).substr(std::string(t.file).rfind('/') + 1);
  return out.str();
}

/// Nobody can go on: tells of one thread that waits and of one that it waits for in vain.
void Machine::explain_standstill() const {
  const auto waiting = std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) {
    return t.state == State::kAtShuffle;
  });
  if (waiting != threads_.end()) {
    const uint32_t first = index(&*waiting) / kWarp * kWarp;
    for (uint32_t lane = 0; lane < kWarp; ++lane) {
      const bool is_there = first + lane < threads_.size();
      if ((waiting->mask >> lane & 1u) == 0) continue;
      if (!is_there)
        throw EmulationError(where(index(&*waiting)) + "shuffles with lane " +
                             std::to_string(lane) + " of a warp that has fewer");
      const Thread& other = threads_[first + lane];
      if (other.state == State::kAtShuffle && other.mask == waiting->mask &&
          other.distance == waiting->distance)
        continue;
      throw EmulationError(where(index(&*waiting)) + describe(index(&*waiting)) + ", but " +
                           describe(first + lane));
    }
  }
  const auto at_barrier = std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) {
    return t.state == State::kAtBarrier;
  });
  const auto other = std::find_if(threads_.begin(), threads_.end(), [&](const Thread& t) {
    return t.state != State::kAtBarrier || t.line != at_barrier->line;
  });
  throw EmulationError(where(index(&*at_barrier)) + describe(index(&*at_barrier)) + ", but " +
                       describe(index(&*other)));
}

void Machine::resume(uint32_t thread) {
  current_ = &threads_[thread];
  emulated_indices.thread = index_in(emulated_indices.threads, thread);
  scheduler_notice_.next_bottom = reinterpret_cast<const void*>(stacks_.low(thread));
  scheduler_notice_.next_bytes = FiberStacks::kBytes;
  announce_switch(scheduler_notice_, true);
  sgrpo_switch_stack(&scheduler_, current_->stack_pointer);
  announce_arrival(scheduler_notice_, nullptr);
  current_ = nullptr;
  if (fault_.empty()) return;
  const std::string fault = std::exchange(fault_, {});
  memory().remove_shared();
  memory().finish_block();
  throw EmulationError(where(thread) + fault);
}

void Machine::run_thread() {
  announce_arrival({}, &notice_of_scheduler_);
  call_.run(call_.data);
  current_->state = State::kDone;
  leave_for_good();
}

void Machine::leave_for_good() {
  StackNotice notice = notice_of_scheduler_;
  announce_switch(notice, false);
  sgrpo_load_stack(scheduler_);
  std::abort();
}

void Machine::wait(State state) {
  Thread& own = *current_;
  own.state = state;
  own.notice.next_bottom = notice_of_scheduler_.next_bottom;
  own.notice.next_bytes = notice_of_scheduler_.next_bytes;
  announce_switch(own.notice, true);
  sgrpo_switch_stack(&own.stack_pointer, scheduler_);
  announce_arrival(own.notice, nullptr);
}

void Machine::fail(const char* what) {
  fault_ = what;
  leave_for_good();
}

void* Machine::fail_by_signal(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address), low = stacks_.low(index(current_));
  const bool is_stack = at < low && low - at <= FiberStacks::kBytes;
  fault_ = is_stack ? "needs more than 64 KiB of stack" : "touches a page that nobody may touch";
  StackNotice notice = notice_of_scheduler_;
  announce_switch(notice, false);
  return scheduler_;
}

void Machine::block_barrier(const char* file, int line) {
  current_->file = file;
  current_->line = line;
  wait(State::kAtBarrier);
}

uint64_t Machine::shuffle_xor(unsigned mask, uint64_t value, int distance) {
  if ((mask >> (index(current_) % kWarp) & 1u) == 0)
    fail("calls a shuffle whose mask leaves it out");
  current_->mask = mask;
  current_->distance = distance;
  current_->value = value;
  wait(State::kAtShuffle);
  return current_->value;
}

void* Machine::shared(const void* site, size_t element, size_t count) {
  for (const SharedArray& array : shared_)
    if (array.site == site) return array.data;
  const size_t bytes = element * count;
  if (shared_bytes_ + bytes > kSharedBytes) fail("declares more than 48 KiB of shared memory");
  shared_bytes_ += bytes;
  char* data = static_cast<char*>(shared_memory_.data()) + shared_end_;
  shared_end_ = (shared_end_ + bytes + 2 * kSharedGap - 1) / kSharedGap * kSharedGap;
  unpoison(data, bytes);
  const auto begin = reinterpret_cast<uintptr_t>(data);
  memory().add({.begin = begin, .end = begin + bytes, .element = element, .is_shared = true});
  shared_.push_back({site, data});
  return data;
}

Moment Machine::now() const {
  const uint32_t thread = index(current_);
  return {.launch = launches_,
          .thread = block_ * kBlockThreads + thread,
          .barriers = barriers_,
          .meetings = meetings_[thread / kWarp]};
}

void Machine::access(const Access& access) {
  const uintptr_t low = stacks_.low(index(current_));
  if (access.begin >= low && access.begin < low + FiberStacks::kBytes) return;
  const auto lies_in = [&](const void* data, size_t bytes) {
    return access.begin - reinterpret_cast<uintptr_t>(data) < bytes;
  };
  if (!access.is_write &&
      (lies_in(call_.data, call_.bytes) || lies_in(&emulated_indices, sizeof(emulated_indices))))
    return;
  if (auto wrong = memory().check(access, now())) {
    fault_ = std::move(*wrong);
    leave_for_good();
  }
}

}  // namespace sgrpo::testing::emulation
