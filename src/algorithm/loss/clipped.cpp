// -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A); for A < 0 the optional dual clip bounds
// the objective below by clip_dual * A. Sources: arXiv 1707.06347 (clip), 1912.09729 (dual).
// TRL's `delta` is clip_dual, equal where clip_dual >= 1 + clip_high (below it TRL binds A > 0,
// too).
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class Clipped final : public TokenLoss {
 public:
  Clipped(const LossSettings& settings, MethodParams& /*params*/) : range_(settings) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

 private:
  ClipRange range_;
};

SGRPO_REGISTER_LOSS("clipped", Clipped);

}  // namespace
}  // namespace sgrpo::algorithm
