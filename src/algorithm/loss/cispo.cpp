// -sg[min(rho, 1 + clip_high)] A log p: a clipped token keeps its gradient; clip_low has no effect.
// Source: arXiv 2506.13585 (value of clip_high unknown; token_mean, no KL).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Cispo final : public TokenLoss {
 public:
  explicit Cispo(const LossSettings& settings)
      : high_(1 + settings.algorithm.clip_high), clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const at::Tensor& policy_logprobs,
                        const at::Tensor& old_logprobs,
                        const TrainBatch& batch) const override {
    const at::Tensor ratio = ratio_of(policy_logprobs.detach(), old_logprobs);
    const at::Tensor weight = at::where(is_above(ratio, batch), high_, ratio);
    return -weight * batch.advantages * policy_logprobs;
  }

  ClipFlags clip_flags(const at::Tensor& policy_logprobs,
                       const at::Tensor& old_logprobs,
                       const TrainBatch& batch) const override {
    const at::Tensor above = is_above(ratio_of(policy_logprobs, old_logprobs), batch);
    return {.low = at::zeros_like(above), .high = above & (batch.advantages != 0)};
  }

 private:
  at::Tensor is_above(const at::Tensor& ratio, const TrainBatch& batch) const {
    const at::Tensor above = ratio > high_;
    return clips_injected_ ? above : above & ~batch.is_injected;
  }

  double high_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("cispo", Cispo);

}  // namespace
}  // namespace sgrpo::algorithm
