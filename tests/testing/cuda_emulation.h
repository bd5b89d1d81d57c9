// Our CUDA kernels on the host: the same .cu files, compiled by the host's compiler. Every thread
// of a block is a fiber, a warp runs alone as far as it can, and every access of device code to
// memory is looked at before it happens.
//
// What ends a launch with an EmulationError: an access outside of a buffer's elements or not
// aligned to its size, shared memory read before it is written, two threads that meet at an element
// (one of them writing) without a barrier between them, lanes or threads that are missing at a
// shuffle or barrier, threads of a block at different barriers. Where the build cannot look at
// accesses (sanitizers), pages on both sides of a buffer and the sanitizer stand guard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

namespace sgrpo::testing {

/// A fault of a kernel: what, in which block and thread.
class EmulationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The order of blocks, of a block's warps and of a warp's lanes.
enum class Schedule { kAscending, kDescending, kShuffled };
constexpr Schedule kSchedules[] = {
    Schedule::kAscending, Schedule::kDescending, Schedule::kShuffled};

/// Runs the launches that `work` makes.
void emulate(Schedule schedule, const std::function<void()>& work);

/// What launches asked device memory for, caches left aside.
struct Traffic {
  int64_t read_bytes = 0, written_bytes = 0;
  /// Pieces of 32 bytes that a warp's instruction touches: what really moves.
  int64_t sectors = 0;

  int64_t bytes() const { return read_bytes + written_bytes; }
  int64_t sector_bytes() const { return 32 * sectors; }
};

/// Runs the launches that `work` makes and counts.
Traffic measure(const std::function<void()>& work);

/// Whether this build looks at accesses: races and traffic are seen only then.
bool sees_accesses();

/// Memory that kernels may touch, aligned as cudaMalloc does, between two pages that nobody may.
class DeviceMemory {
 public:
  DeviceMemory(size_t element_bytes, size_t count);
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  DeviceMemory& operator=(DeviceMemory&&) = delete;

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  void* pages_ = nullptr;
  size_t page_bytes_ = 0;
};

/// A vector's contents as a kernel sees them.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values)
      : size_(values.size()), memory_(sizeof(T), size_) {
    std::copy(values.begin(), values.end(), data());
  }
  DeviceArray(size_t size, T fill) : DeviceArray(std::vector<T>(size, fill)) {}

  T* data() const { return static_cast<T*>(memory_.data()); }
  std::vector<T> values() const { return {data(), data() + size_}; }

 private:
  size_t size_;
  DeviceMemory memory_;
};

}  // namespace sgrpo::testing
