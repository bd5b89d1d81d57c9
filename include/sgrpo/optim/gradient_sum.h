// Gradients of all ranks, added up.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/distributed/communicator.h"

namespace sgrpo::optim {

/// Sums the gradients of the same parameters over ranks, in flat buckets. Their number, order and
/// sizes follow from the parameters alone: what a batch holds changes no call. Bytes on the wire:
/// those of the gradients, once each way round the ring.
class GradientSum {
 public:
  /// Elements of a bucket; a larger parameter has one of its own.
  static constexpr int64_t kBucket = int64_t{25} << 18;  // 25 MiB of f32

  GradientSum(std::vector<at::Tensor> parameters, int64_t bucket = kBucket);

  /// Every defined gradient becomes the sum over ranks; one that is missing on this rank counts as
  /// zero. In f32 (f64 for f64), the last parameters first, as backward passes finish them. Nothing
  /// is done where there is one rank.
  void run(distributed::Communicator& communicator) const;

  /// Number of collectives that a run takes.
  int64_t num_buckets() const { return static_cast<int64_t>(buckets_.size()); }

 private:
  struct Bucket {
    std::vector<at::Tensor> parameters;
    int64_t numel = 0;
  };
  struct Flight;
  std::unique_ptr<Flight> launch(const Bucket& bucket,
                                 distributed::Communicator& communicator) const;

  std::vector<Bucket> buckets_;
};

}  // namespace sgrpo::optim
