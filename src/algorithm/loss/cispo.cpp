// -sg[min(rho, 1 + clip_high)] A log p: a clipped token keeps its gradient; clip_low has no effect.
// Source: arXiv 2506.13585 (value of clip_high unknown; token_mean, no KL).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Cispo final : public TokenLoss {
 public:
  Cispo(const LossSettings& settings, MethodParams& /*params*/)
      : high_(1 + settings.algorithm.clip_high), clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor ratio = ratio_of(inputs.policy.detach(), inputs.old);
    const at::Tensor weight = at::where(is_above(ratio, inputs.batch), high_, ratio);
    return -weight * inputs.batch.advantages * inputs.policy;
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    const at::Tensor above = is_above(ratio_of(inputs.policy, inputs.old), inputs.batch);
    return {.low = at::zeros_like(above), .high = above & (inputs.batch.advantages != 0)};
  }

 private:
  at::Tensor is_above(const at::Tensor& ratio, const LossBatch& batch) const {
    const at::Tensor above = ratio > high_;
    return clips_injected_ ? above : above & ~batch.is_injected;
  }

  double high_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("cispo", Cispo);

}  // namespace
}  // namespace sgrpo::algorithm
