// -min(s A, clip(s) A) with the sequence ratio s = exp(mean over its tokens of log p - log p_old).
// Every token carries its sequence's value, so seq_mean_token_mean gives the paper's objective.
// Source: arXiv 2507.18071 (clip 3e-4 / 4e-4, no KL).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Gspo final : public TokenLoss {
 public:
  Gspo(const LossSettings& settings, MethodParams& /*params*/)
      : low_(1 - settings.algorithm.clip_low),
        high_(1 + settings.algorithm.clip_high),
        clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor ratio = sequence_ratio(inputs);
    const at::Tensor plain = ratio * inputs.batch.advantages;
    const at::Tensor clipped = ratio.clamp(low_, high_) * inputs.batch.advantages;
    const at::Tensor objective = at::where(plain <= clipped, plain, clipped);
    return -(clips_injected_ ? objective : at::where(inputs.batch.is_injected, plain, objective));
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    const at::Tensor ratio = sequence_ratio(inputs);
    const at::Tensor exempt =
        clips_injected_ ? at::zeros_like(inputs.batch.is_injected) : inputs.batch.is_injected;
    return {.low = (ratio < low_) & (inputs.batch.advantages < 0) & ~exempt,
            .high = (ratio > high_) & (inputs.batch.advantages > 0) & ~exempt};
  }

 private:
  static at::Tensor sequence_ratio(const LossInputs& inputs) {
    const LossBatch& batch = inputs.batch;
    const at::Tensor length = sum_over_sequence(at::ones_like(inputs.old), batch).clamp_min(1);
    const at::Tensor mean = sum_over_sequence(inputs.policy - inputs.old, batch) / length;
    return ratio_of(mean, at::zeros_like(mean));
  }

  double low_, high_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("gspo", Gspo);

}  // namespace
}  // namespace sgrpo::algorithm
