#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {

ClipRange::ClipRange(const LossSettings& settings)
    : low_(1 - settings.algorithm.clip_low),
      high_(1 + settings.algorithm.clip_high),
      dual_(settings.algorithm.clip_dual),
      clips_injected_(settings.injection.gt_clip) {}

at::Tensor ClipRange::objective(const at::Tensor& ratio, const LossBatch& batch) const {
  const at::Tensor& advantages = batch.advantages;
  const at::Tensor plain = ratio * advantages;
  const at::Tensor clipped = ratio.clamp(low_, high_) * advantages;
  // where() keeps the whole gradient on the plain branch at ties; minimum() would split it.
  at::Tensor objective = at::where(plain <= clipped, plain, clipped);
  if (dual_) {
    const at::Tensor bound = *dual_ * advantages;
    objective = at::where((advantages < 0) & (objective < bound), bound, objective);
  }
  return clips_injected_ ? objective : at::where(batch.is_injected, plain, objective);
}

ClipFlags ClipRange::flags(const at::Tensor& ratio, const LossBatch& batch) const {
  const at::Tensor exempt = clips_injected_ ? at::zeros_like(batch.is_injected) : batch.is_injected;
  return {.low = (ratio < low_) & (batch.advantages < 0) & ~exempt,
          .high = (ratio > high_) & (batch.advantages > 0) & ~exempt};
}

}  // namespace sgrpo::algorithm
