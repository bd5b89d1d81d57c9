// AdamW over named parameters, learning-rate schedules, clipping; non-finite gradients never reach
// a parameter.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/optim/options.h"

namespace sgrpo::optim {

/// lr(s) for step s counted from 0:
///   lr * min(1, (s+1)/warmup_steps) * (1 - (1 - min_lr_frac) * s/schedule_steps)   for `linear`;
///   `cosine`: the last factor is min_lr_frac + (1 - min_lr_frac) * (1 + cos(pi s/schedule_steps))
///   / 2.
/// Beyond schedule_steps the last factor stays at min_lr_frac.
double learning_rate(const OptimOptions& options, int64_t step, int64_t total_steps);

/// What one optimizer step did.
struct OptimizerStep {
  double grad_norm = 0.0;  // before clipping; NaN or inf if a gradient is
  bool skipped = false;    // non-finite: parameters, moments and count are untouched
  std::string bad_tensor;  // first parameter with a non-finite gradient
};

/// AdamW (decoupled weight decay; bias correction; fused over all parameters).
/// State is kept in f32; parameters of bf16 have an f32 master copy. Source: arXiv 1711.05101.
class AdamW {
 public:
  /// `parameters`: (checkpoint name, leaf tensor with requires_grad). Names must be unique.
  AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const OptimOptions& options);

  /// Sets every gradient to zero (allocated once, zeroed in place afterwards).
  void zero_grad();
  /// Clips by the global norm (factor min(1, max_grad_norm / (norm + 1e-6))), updates, counts.
  OptimizerStep step(double lr);
  /// Number of updates done.
  int64_t count() const { return count_; }

  /// Named state tensors ("exp_avg.<name>", "exp_avg_sq.<name>", "count") for a checkpoint, and
  /// back. load_state throws core::UserError naming a missing tensor or a wrong shape.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);
  /// Bytes of moments and master copies.
  int64_t state_bytes() const;

 private:
  struct Group {  // one weight decay
    double weight_decay = 0.0;
    std::vector<size_t> index;
  };
  std::vector<std::pair<std::string, at::Tensor>> parameters_;
  std::vector<at::Tensor> exp_avg_, exp_avg_sq_, count_tensors_, master_;
  std::vector<Group> groups_;
  OptimOptions options_;
  int64_t count_ = 0;
};

}  // namespace sgrpo::optim
