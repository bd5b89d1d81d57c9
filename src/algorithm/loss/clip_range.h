// The clip range of the losses that clip a ratio.
#pragma once

#include <optional>

#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {

/// [1 - clip_low, 1 + clip_high] with the optional dual clip; injected members are exempt where
/// injection.gt_clip is false.
class ClipRange {
 public:
  explicit ClipRange(const LossSettings& settings);

  /// min(ratio A, clip(ratio) A), for A < 0 not below clip_dual A; [M], [M] -> [M].
  at::Tensor objective(const at::Tensor& ratio, const LossBatch& batch) const;
  /// Where the range, not the dual clip, takes the gradient.
  ClipFlags flags(const at::Tensor& ratio, const LossBatch& batch) const;

 private:
  double low_, high_;
  std::optional<double> dual_;
  bool clips_injected_;
};

}  // namespace sgrpo::algorithm
