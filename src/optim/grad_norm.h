// The global gradient norm, with one device synchronisation.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <optional>
#include <vector>

namespace sgrpo::optim {

struct GradNorm {
  double total = 0.0;
  std::optional<size_t> bad;  // first tensor whose own norm is not finite
};

/// sqrt of the sum of squares over all tensors (all on one device).
/// Async: waits for the device once; a second time only to find the bad tensor.
GradNorm global_norm(const std::vector<at::Tensor>& grads);

}  // namespace sgrpo::optim
