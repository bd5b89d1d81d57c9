// -sg[min(rho, 1 + clip_high)] A log p: a clipped token keeps its gradient; clip_low has no effect.
// `sequence_ratio` takes GSPO's ratio of the sequence in place of rho (TRL's
// importance_sampling_level). Source: arXiv 2506.13585 (value of clip_high unknown; token_mean, no
// KL).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Cispo final : public TokenLoss {
 public:
  Cispo(const LossSettings& settings, MethodParams& params)
      : high_(1 + settings.algorithm.clip_high),
        clips_injected_(settings.injection.gt_clip),
        is_sequence_(params.flag("sequence_ratio", false)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor rho = ratio(inputs).detach();
    const at::Tensor weight = at::where(is_above(rho, inputs.batch), high_, rho);
    return -weight * inputs.batch.advantages * inputs.policy;
  }

  at::Tensor ratio(const LossInputs& inputs) const override {
    return is_sequence_ ? sequence_ratio(inputs) : TokenLoss::ratio(inputs);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    const at::Tensor above = is_above(ratio(inputs), inputs.batch);
    return {.low = at::zeros_like(above), .high = above & (inputs.batch.advantages != 0)};
  }

 private:
  at::Tensor is_above(const at::Tensor& rho, const LossBatch& batch) const {
    const at::Tensor above = rho > high_;
    return clips_injected_ ? above : above & ~batch.is_injected;
  }

  double high_;
  bool clips_injected_, is_sequence_;
};

SGRPO_REGISTER_LOSS("cispo", Cispo);

}  // namespace
}  // namespace sgrpo::algorithm
