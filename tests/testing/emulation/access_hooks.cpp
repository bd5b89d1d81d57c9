// Emulated kernels are compiled with -fsanitize=thread, which has the compiler call one of these
// before every access to memory; there is no other runtime behind it.
#include "testing/emulation/machine.h"

namespace sgrpo::testing {

bool sees_accesses() {
#ifdef SGRPO_ACCESS_HOOKS
  return true;
#else
  return false;
#endif
}

}  // namespace sgrpo::testing

#ifdef SGRPO_ACCESS_HOOKS
namespace {

using sgrpo::testing::emulation::Machine;

void look_at(const void* p, size_t bytes, bool is_write, bool must_align, const void* instruction) {
  Machine& machine = Machine::get();
  if (!machine.runs_device_code() || bytes == 0) return;
  machine.access({.begin = reinterpret_cast<uintptr_t>(p),
                  .bytes = bytes,
                  .is_write = is_write,
                  .must_align = must_align,
                  .instruction = instruction});
}

}  // namespace

#define SGRPO_HOOK(name, bytes, is_write, must_align)                     \
  extern "C" void name(void* p) {                                         \
    look_at(p, bytes, is_write, must_align, __builtin_return_address(0)); \
  }
#define SGRPO_HOOKS(bytes)                                      \
  SGRPO_HOOK(__tsan_read##bytes, bytes, false, true)            \
  SGRPO_HOOK(__tsan_write##bytes, bytes, true, true)            \
  SGRPO_HOOK(__tsan_unaligned_read##bytes, bytes, false, false) \
  SGRPO_HOOK(__tsan_unaligned_write##bytes, bytes, true, false)

SGRPO_HOOKS(1)
SGRPO_HOOKS(2)
SGRPO_HOOKS(4)
SGRPO_HOOKS(8)
SGRPO_HOOKS(16)

extern "C" {
void __tsan_read_range(void* p, size_t bytes) {
  look_at(p, bytes, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  look_at(p, bytes, true, false, __builtin_return_address(0));
}
void __tsan_init() {}
}
#endif
