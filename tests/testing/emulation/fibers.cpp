#include "testing/emulation/fibers.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "testing/emulation/memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// The registers that a called function must preserve, and the stack pointer, are a fiber's state.
asm(R"(
.text
.globl sgrpo_switch_stack
.globl sgrpo_load_stack
sgrpo_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rdi
sgrpo_load_stack:
  movq %rdi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace sgrpo::testing::emulation {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStride = FiberStacks::kBytes + kPage;
constexpr size_t kPreserved = 6;

}  // namespace

FiberStacks::FiberStacks()
    : memory_(static_cast<char*>(mmap(nullptr,
                                      kBlockThreads * kStride,
                                      PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                      -1,
                                      0))) {
  if (memory_ == MAP_FAILED) {
    std::perror("emulation: no memory for stacks");
    std::abort();
  }
  for (size_t i = 0; i < kBlockThreads; ++i) mprotect(memory_ + i * kStride, kPage, PROT_NONE);
}

FiberStacks::~FiberStacks() { munmap(memory_, kBlockThreads * kStride); }

uintptr_t FiberStacks::low(size_t index) const {
  return reinterpret_cast<uintptr_t>(memory_ + index * kStride + kPage);
}

void* FiberStacks::prepare(size_t index, void (*entry)()) {
  unpoison(reinterpret_cast<void*>(low(index)), kBytes);  // frames that were left for good
  // Coloured: stacks that begin at the same place of a page would share a few lines of the cache.
  const uintptr_t colour = index * 448 % (kBytes / 4);
  auto* top = reinterpret_cast<uint64_t*>((low(index) + kBytes - colour) & ~uintptr_t{15});
  *--top = 0;  // where `entry` would return to
  *--top = reinterpret_cast<uint64_t>(entry);
  for (size_t i = 0; i < kPreserved; ++i) *--top = 0;
  return top;
}

#ifdef __SANITIZE_ADDRESS__
void announce_switch(StackNotice& notice, bool comes_back) {
  __sanitizer_start_switch_fiber(
      comes_back ? &notice.own : nullptr, notice.next_bottom, notice.next_bytes);
}
void announce_arrival(const StackNotice& notice, StackNotice* from) {
  __sanitizer_finish_switch_fiber(notice.own,
                                  from == nullptr ? nullptr : &from->next_bottom,
                                  from == nullptr ? nullptr : &from->next_bytes);
}
#else
void announce_switch(StackNotice& /*notice*/, bool /*comes_back*/) {}
void announce_arrival(const StackNotice& /*notice*/, StackNotice* /*from*/) {}
#endif

}  // namespace sgrpo::testing::emulation
