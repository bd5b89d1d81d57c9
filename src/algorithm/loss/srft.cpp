// SRFT, weights by entropy in one stage of supervised and reinforced steps. H is the mean entropy
// of the sequence under the policy, detached:
//   injected (demonstrations)   clipped term with A, plus sft_weight exp(-H) (-log p)
//   sampled, A > 0              -rl_weight exp(+-H) A log p
//   sampled, A <= 0             -A log p
// The sign in the second weight is not settled by what we know of the paper: `rl_grows` true is
// exp(+H). Over which tokens H is taken is not known either. Wants injection.when: always. Source:
// arXiv 2506.19767 (0.5, 0.1), at second hand.
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class Srft final : public TokenLoss {
 public:
  Srft(const LossSettings& settings, MethodParams& params)
      : range_(settings),
        sft_weight_(params.number("sft_weight", 0.5, 0.0, 1e3)),
        rl_weight_(params.number("rl_weight", 0.1, 0.0, 1e3)),
        rl_sign_(params.flag("rl_grows", true) ? 1.0 : -1.0) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const at::Tensor entropy = mean_over_sequence(inputs.entropy.detach(), batch);
    const at::Tensor demonstrated =
        -range_.objective(ratio(inputs), batch) - sft_weight_ * (-entropy).exp() * inputs.policy;
    const at::Tensor weight = at::where(
        batch.advantages > 0, rl_weight_ * (rl_sign_ * entropy).exp(), at::ones_like(entropy));
    return at::where(batch.is_injected, demonstrated, -weight * batch.advantages * inputs.policy);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    ClipFlags clip = range_.flags(ratio(inputs), inputs.batch);
    const at::Tensor& injected = inputs.batch.is_injected;
    return {.low = clip.low & injected, .high = clip.high & injected};
  }

  bool learns_without_advantage() const override { return sft_weight_ > 0; }

 private:
  ClipRange range_;
  double sft_weight_, rl_weight_, rl_sign_;
};

SGRPO_REGISTER_LOSS("srft", Srft);

}  // namespace
}  // namespace sgrpo::algorithm
