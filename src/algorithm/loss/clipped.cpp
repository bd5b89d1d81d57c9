// -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A); for A < 0 the optional dual clip bounds
// the objective below by clip_dual * A. Sources: arXiv 1707.06347 (clip), 1912.09729 (dual).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Clipped final : public TokenLoss {
 public:
  Clipped(const LossSettings& settings, MethodParams& /*params*/)
      : low_(1 - settings.algorithm.clip_low),
        high_(1 + settings.algorithm.clip_high),
        dual_(settings.algorithm.clip_dual),
        clips_injected_(settings.injection.gt_clip) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor ratio = ratio_of(inputs.policy, inputs.old);
    const at::Tensor& advantages = inputs.batch.advantages;
    const at::Tensor plain = ratio * advantages;
    const at::Tensor clipped = ratio.clamp(low_, high_) * advantages;
    // where() keeps the whole gradient on the plain branch at ties; minimum() would split it.
    at::Tensor objective = at::where(plain <= clipped, plain, clipped);
    if (dual_) {
      const at::Tensor bound = *dual_ * advantages;
      objective = at::where((advantages < 0) & (objective < bound), bound, objective);
    }
    if (!clips_injected_) objective = at::where(inputs.batch.is_injected, plain, objective);
    return -objective;
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    const at::Tensor ratio = ratio_of(inputs.policy, inputs.old);
    const at::Tensor exempt =
        clips_injected_ ? at::zeros_like(inputs.batch.is_injected) : inputs.batch.is_injected;
    return {.low = (ratio < low_) & (inputs.batch.advantages < 0) & ~exempt,
            .high = (ratio > high_) & (inputs.batch.advantages > 0) & ~exempt};
  }

 private:
  double low_, high_;
  std::optional<double> dual_;
  bool clips_injected_;
};

SGRPO_REGISTER_LOSS("clipped", Clipped);

}  // namespace
}  // namespace sgrpo::algorithm
