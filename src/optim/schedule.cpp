#include <algorithm>
#include <cmath>
#include <numbers>

#include "sgrpo/core/check.h"
#include "sgrpo/optim/optimizer.h"

namespace sgrpo::optim {
namespace {

/// The schedule's factor at `progress` in [0, 1].
double schedule_factor(const OptimOptions& options, double progress) {
  if (options.schedule == Schedule::kConstant) return 1.0;
  if (options.schedule == Schedule::kLinear) return 1.0 - (1.0 - options.min_lr_frac) * progress;
  const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return options.min_lr_frac + (1.0 - options.min_lr_frac) * wave;
}

}  // namespace

double learning_rate(const OptimOptions& options, int64_t step, int64_t total_steps) {
  SGRPO_CHECK(step >= 0, "learning rate of step ", step, ", which must not be negative");
  const int64_t length = options.schedule_steps.value_or(total_steps);
  const double progress =
      step < length ? static_cast<double>(step) / static_cast<double>(length) : 1.0;
  double warmup = 1.0;
  if (step < options.warmup_steps) {
    warmup = static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  return options.lr * warmup * schedule_factor(options, progress);
}

}  // namespace sgrpo::optim
