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
///   / 2; `constant`: 1.
/// schedule_steps defaults to total_steps; beyond it the last factor stays at min_lr_frac.
double learning_rate(const OptimOptions& options, int64_t step, int64_t total_steps);

/// What one optimizer step did.
struct OptimizerStep {
  double grad_norm = 0.0;  // before clipping; NaN or inf if a gradient is
  bool skipped = false;    // non-finite: parameters, moments and count are untouched
  std::string bad_tensor;  // first parameter with a non-finite gradient
};

/// AdamW (decoupled weight decay; bias correction; fused over all parameters), as
/// torch.optim.AdamW:
///   p *= 1 - lr * weight_decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
///   p -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
/// State is kept in f32 (f64 for f64 parameters); parameters of bf16 or f16 have an f32 master
/// copy, which is what is updated, and must have f32 gradients (set_grad_dtype): a sum of many
/// passes stands still in fewer digits. Scaling gradients is the loss's business.
/// Source: arXiv 1711.05101.
class AdamW {
 public:
  /// `parameters`: (checkpoint name, contiguous leaf tensor with requires_grad), all on one device.
  /// Names must be unique.
  AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const OptimOptions& options);

  /// Sets every gradient to zero (allocated once, zeroed in place afterwards).
  void zero_grad();
  /// Clips by the global norm (factor min(1, max_grad_norm / (norm + 1e-6))), updates, counts. A
  /// missing gradient counts as zero. The gradients may hold the clipped values afterwards.
  /// Async: waits for the device once, to learn the norm; the update itself is ordered on the
  /// current stream.
  OptimizerStep step(double lr);
  /// Number of updates done.
  int64_t count() const { return count_; }

  /// Named state tensors ("count", "exp_avg.<name>", "exp_avg_sq.<name>", and "master.<name>" where
  /// there is one) for a checkpoint, and back. state() shares memory with the optimizer. load_state
  /// takes all or nothing: it throws core::UserError naming a missing or unknown tensor, a wrong
  /// shape or dtype.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

 private:
  struct Slot {  // one parameter with its state
    std::string name;
    at::Tensor parameter, exp_avg, exp_avg_sq;
    at::Tensor master;  // defined for bf16 and f16
  };
  struct Group {  // slots updated by one fused call: one weight decay, one dtype
    double weight_decay = 0.0;
    std::vector<size_t> slots;
  };
  void make_groups();
  std::vector<at::Tensor> gradients();
  void update(const Group& group,
              const std::vector<at::Tensor>& grads,
              double lr,
              double clip_factor);

  std::vector<Slot> slots_;
  std::vector<Group> groups_;
  at::Tensor count_tensor_;  // f32 scalar on the device, which the fused kernel reads
  OptimOptions options_;
  int64_t count_ = 0;
};

}  // namespace sgrpo::optim
