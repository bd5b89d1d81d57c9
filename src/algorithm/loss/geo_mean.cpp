// GMPO: the geometric mean of token ratios, clipped token by token on the side that A punishes:
//   -A exp(mean over the sequence of d'),  d' = min(d, clamp(d)) where A > 0, max where A < 0,
//   d = log p - log p_old clamped to [-clip_low, clip_high], so clip_* are nats here
// Every token carries its sequence's value: seq_mean_token_mean gives the paper's objective. A is
// the mean over the sequence's tokens, as in verl (`geo_mean`), whose divisor has 1e-8 added.
// Source: arXiv 2507.20673 (its clip range, e^-0.4 to e^0.4, as verl's comments give it).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class GeoMean final : public TokenLoss {
 public:
  GeoMean(const LossSettings& settings, MethodParams& /*params*/)
      : low_(-settings.algorithm.clip_low),
        high_(settings.algorithm.clip_high),
        clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const at::Tensor d = inputs.policy - inputs.old;
    const ClipFlags clip = clip_flags(inputs);
    const at::Tensor kept = at::where(
        batch.advantages == 0, 0.0, at::where(clip.low | clip.high, d.clamp(low_, high_), d));
    const at::Tensor mean = mean_over_sequence(kept, batch);
    return -mean_over_sequence(batch.advantages, batch) * ratio_of(mean, at::zeros_like(mean));
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const at::Tensor d = inputs.policy.detach() - inputs.old;
    const at::Tensor bound =
        clips_injected_ ? at::ones_like(batch.is_injected) : ~batch.is_injected;
    return {.low = (d < low_) & (batch.advantages < 0) & bound,
            .high = (d > high_) & (batch.advantages > 0) & bound};
  }

 private:
  double low_, high_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("geo_mean", GeoMean);

}  // namespace
}  // namespace sgrpo::algorithm
