// REC-OneSide-NoIS: REINFORCE that leaves out the tokens which the clip would, and weighs no other:
//   -A log p where (A > 0 and rho <= 1 + clip_high) or (A < 0 and rho >= 1 - clip_low), else 0
// No importance weight: leaving out does the work. Wide ranges (0.6 / 2.0) are faster and riskier.
// Source: arXiv 2509.24203 (Trinity-RFT); its results were not read.
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class Rec final : public TokenLoss {
 public:
  Rec(const LossSettings& settings, MethodParams& /*params*/) : range_(settings) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const ClipFlags clip = clip_flags(inputs);
    return at::where(clip.low | clip.high, 0.0, -inputs.batch.advantages * inputs.policy);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio_of(inputs.policy.detach(), inputs.old), inputs.batch);
  }

 private:
  ClipRange range_;
};

SGRPO_REGISTER_LOSS("rec", Rec);

}  // namespace
}  // namespace sgrpo::algorithm
