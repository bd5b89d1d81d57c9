// What the processes of a run say to each other. Everything that must be the same on all of them
// goes through here, whatever the batch holds, so that the sequence of calls never depends on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo::distributed {

/// A collective under way. Its tensors belong to it until wait() returns.
class Handle {
 public:
  virtual ~Handle() = default;
  /// Throws core::RunError if the collective failed.
  virtual void wait() = 0;
};

enum class Reduction { kSum, kMin, kMax };

/// One process's end. Passed to whoever needs it, never global. Every call throws core::RunError
/// naming the rank once another one has failed, is gone or hangs.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int64_t rank() const = 0;
  virtual int64_t size() const = 0;

  /// Collectives of flat, contiguous tensors; all ranks call the same ones in the same order with
  /// tensors of equal size and dtype. Results are valid after wait().
  virtual std::unique_ptr<Handle> all_reduce(at::Tensor values, Reduction reduction) = 0;
  /// [size() * n] -> [n]: the sum's piece of this rank.
  virtual std::unique_ptr<Handle> reduce_scatter(const at::Tensor& values, at::Tensor piece) = 0;
  /// [n] of each rank -> [size() * n] in rank order.
  virtual std::unique_ptr<Handle> all_gather(const at::Tensor& piece, at::Tensor values) = 0;
  virtual std::unique_ptr<Handle> broadcast(at::Tensor values, int64_t root) = 0;
  /// Any bytes of each rank, in rank order.
  virtual std::vector<std::string> all_gather_bytes(const std::string& bytes) = 0;
  /// Returns when every rank is here.
  virtual void barrier() = 0;

  /// What this rank does from now on, for the others' messages: "generate, step 12".
  virtual void note(const std::string& doing) = 0;
  /// Tells the others that this rank ends for `reason`: their next call throws it. Returns at once;
  /// nothing else may be called afterwards.
  virtual void abort(const std::string& reason) = 0;
  /// Why the run ends on all ranks: what abort() said on another, or that one is gone or hangs; ""
  /// as long as nothing is wrong.
  virtual std::string failure() const = 0;

  /// Sums, minima or maxima of a few host numbers over all ranks.
  std::vector<double> reduce(std::vector<double> values, Reduction reduction = Reduction::kSum);
};

/// A run of one process.
std::unique_ptr<Communicator> make_local();

}  // namespace sgrpo::distributed
