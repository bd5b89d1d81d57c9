// -min(s A, clip(s) A) with the sequence ratio s = exp(mean over its tokens of log p - log p_old).
// Every token carries its sequence's value, so seq_mean_token_mean gives the paper's objective.
// Source: arXiv 2507.18071 (clip 3e-4 / 4e-4, no KL).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Gspo final : public TokenLoss {
 public:
  explicit Gspo(const LossSettings& settings)
      : low_(1 - settings.algorithm.clip_low),
        high_(1 + settings.algorithm.clip_high),
        clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const at::Tensor& policy_logprobs,
                        const at::Tensor& old_logprobs,
                        const TrainBatch& batch) const override {
    const at::Tensor ratio = sequence_ratio(policy_logprobs, old_logprobs, batch);
    const at::Tensor plain = ratio * batch.advantages;
    const at::Tensor clipped = ratio.clamp(low_, high_) * batch.advantages;
    const at::Tensor objective = at::where(plain <= clipped, plain, clipped);
    return -(clips_injected_ ? objective : at::where(batch.is_injected, plain, objective));
  }

  ClipFlags clip_flags(const at::Tensor& policy_logprobs,
                       const at::Tensor& old_logprobs,
                       const TrainBatch& batch) const override {
    const at::Tensor ratio = sequence_ratio(policy_logprobs, old_logprobs, batch);
    const at::Tensor exempt =
        clips_injected_ ? at::zeros_like(batch.is_injected) : batch.is_injected;
    return {.low = (ratio < low_) & (batch.advantages < 0) & ~exempt,
            .high = (ratio > high_) & (batch.advantages > 0) & ~exempt};
  }

 private:
  static at::Tensor sequence_ratio(const at::Tensor& policy_logprobs,
                                   const at::Tensor& old_logprobs,
                                   const TrainBatch& batch) {
    const at::Tensor length = sum_over_sequence(at::ones_like(old_logprobs), batch).clamp_min(1);
    const at::Tensor mean = sum_over_sequence(policy_logprobs - old_logprobs, batch) / length;
    return ratio_of(mean, at::zeros_like(mean));
  }

  double low_, high_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("gspo", Gspo);

}  // namespace
}  // namespace sgrpo::algorithm
