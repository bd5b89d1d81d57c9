// What tests and emulated device code call: the door to the machine.
#include <cuda_runtime.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "testing/cuda_emulation.h"
#include "testing/emulation/machine.h"

namespace sgrpo::testing {
namespace {

using emulation::Machine;

constexpr size_t kPage = 4096, kAlignment = 256;

/// Device code that touches a guard page goes on as a thread that failed; all else dies as it
/// would.
void on_bad_page(int /*signal*/, siginfo_t* info, void* context) {
  if (!Machine::get().runs_device_code()) {
    signal(SIGSEGV, SIG_DFL);  // the access is made again
    return;
  }
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  registers[REG_RDI] = reinterpret_cast<greg_t>(Machine::get().fail_by_signal(info->si_addr));
  registers[REG_RIP] = reinterpret_cast<greg_t>(&emulation::sgrpo_load_stack);
}

/// While it lives, SIGSEGV comes to on_bad_page, on a stack of its own.
class BadPageGuard {
 public:
  BadPageGuard() : stack_(64 * 1024) {
    stack_t own{};
    own.ss_sp = stack_.data();
    own.ss_size = stack_.size();
    sigaltstack(&own, &old_stack_);
    struct sigaction action {};
    action.sa_sigaction = on_bad_page;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &old_action_);
  }
  ~BadPageGuard() {
    sigaction(SIGSEGV, &old_action_, nullptr);
    sigaltstack(&old_stack_, nullptr);
  }
  BadPageGuard(const BadPageGuard&) = delete;
  BadPageGuard& operator=(const BadPageGuard&) = delete;

 private:
  std::vector<char> stack_;
  stack_t old_stack_{};
  struct sigaction old_action_ {};
};

}  // namespace

void emulate(Schedule schedule, const std::function<void()>& work) {
  const BadPageGuard guard;
  Machine::get().schedule = schedule;
  work();
}

Traffic measure(const std::function<void()>& work) {
  emulation::memory().start_counting();
  emulate(Schedule::kAscending, work);
  return emulation::memory().stop_counting();
}

DeviceMemory::DeviceMemory(size_t element_bytes, size_t count) {
  const size_t bytes = element_bytes * count;
  const size_t inner = (bytes + kAlignment + kPage - 1) / kPage * kPage;
  page_bytes_ = inner + 2 * kPage;
  pages_ = mmap(nullptr, page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages_ == MAP_FAILED) {
    std::perror("emulation: no memory for a buffer");
    std::abort();
  }
  char* first = static_cast<char*>(pages_) + kPage;
  mprotect(pages_, kPage, PROT_NONE);
  mprotect(first + inner, kPage, PROT_NONE);
  char* data = first + (inner - bytes) / kAlignment * kAlignment;
  data_ = data;
  emulation::poison(first, inner);
  emulation::unpoison(data, bytes);
  const auto begin = reinterpret_cast<uintptr_t>(data);
  if (bytes > 0)
    emulation::memory().add({.begin = begin, .end = begin + bytes, .element = element_bytes});
}

DeviceMemory::~DeviceMemory() {
  if (pages_ == nullptr) return;
  emulation::memory().remove(reinterpret_cast<uintptr_t>(data_));
  emulation::unpoison(pages_, page_bytes_);
  munmap(pages_, page_bytes_);
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(other.data_),
      pages_(std::exchange(other.pages_, nullptr)),
      page_bytes_(other.page_bytes_) {}

}  // namespace sgrpo::testing

using sgrpo::testing::emulation::Machine;

void* emulated_shared(const void* site, size_t element, size_t count) {
  return Machine::get().shared(site, element, count);
}

uint64_t emulated_shuffle_xor(unsigned mask, uint64_t value, int distance) {
  return Machine::get().shuffle_xor(mask, value, distance);
}

void emulated_block_barrier(const char* file, int line) {
  Machine::get().block_barrier(file, line);
}

cudaError_t emulated_launch(const cudaLaunchConfig_t& config,
                            void (*run)(const void* call),
                            const void* call,
                            size_t call_bytes) {
  return Machine::get().launch(config, {run, call, call_bytes});
}
